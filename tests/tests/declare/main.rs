//! Objects that one declaration opens, and types that change between versions of a program.

// Public, so that the lints on documents look at what is declared in it.
mod declare_failures;
pub mod declare_hygiene;
mod declare_one_object;
mod declare_schema;
mod schema_defaults;
mod schema_evolution;
mod schema_extensible;
mod schema_migration;
mod schema_migration_whole;
mod schema_pairs;
mod schema_random;
mod schema_rolling;
mod schema_rolling_kills;

netshm_tests::children!(schema_evolution, schema_migration, schema_migration_whole, schema_pairs, schema_rolling_kills);

//! Programs that must not compile (`fail`), and what the compiler says to them.

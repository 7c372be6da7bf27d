//! Descriptors of shared objects.

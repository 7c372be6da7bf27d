//! How values become 64-bit words and back.

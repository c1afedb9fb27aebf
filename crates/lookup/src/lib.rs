//! Lookup tables: aliases, system accounts.

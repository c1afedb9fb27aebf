//! Line splitting shared by the two formats.

//! A pool of content filter programs.

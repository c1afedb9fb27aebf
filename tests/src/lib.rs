//! A scratch suite: the real programs under a temporary folder, and the third-party programs around them.

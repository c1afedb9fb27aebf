//! The supervisor: binds, accepts, passes descriptors, spawns, restarts.

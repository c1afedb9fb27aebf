//! Feeds the router farm.

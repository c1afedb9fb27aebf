//! The zpost commands and the compatible names.

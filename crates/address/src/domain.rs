//! Domains: the normal form that compares equal for routing and limits.

/// Why a text is no domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DomainError;

/// Lower-cased A-labels without the trailing dot; an address literal as written, lower-cased.
/// U-label and A-label forms of one domain give the same text.
pub fn normalise(domain: &str) -> Result<String, DomainError> { let _ = domain; todo!() }

/// True for `[...]`.
pub fn is_literal(domain: &str) -> bool { domain.starts_with('[') && domain.ends_with(']') }

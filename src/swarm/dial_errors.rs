//! TLS alerts inside QUIC errors.

/// No application protocol in common (RFC 7301).
pub(super) const NO_APPLICATION_PROTOCOL: u8 = 120;

/// The alert in a transport error: 0x100 and the alert (RFC 9001, section 4.8).
pub(super) fn alert(code: u64) -> Option<u8> {
    code.checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok())
}

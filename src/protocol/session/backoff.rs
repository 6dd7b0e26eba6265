//! When to dial again: exponential back-off with full jitter (Brooker, "Exponential Backoff And Jitter", 2015), so that a
//! thousand agents that lost one coordinator do not come back at once.

/// The first window, in milliseconds.
const FIRST_MS: u64 = 100;

/// The longest window, in milliseconds.
const LONGEST_MS: u64 = 15_000;

/// The pause before attempt `attempt`, counted from 0 after the last success, in milliseconds: uniform below 100, 200, 400
/// and so on up to 15,000. `random` is uniform in [0, 1).
pub fn backoff_ms(attempt: u32, random: f64) -> u64 {
    let window = FIRST_MS.checked_shl(attempt.min(16)).map_or(LONGEST_MS, |window| window.min(LONGEST_MS));
    (window as f64 * random.clamp(0.0, 1.0)) as u64
}

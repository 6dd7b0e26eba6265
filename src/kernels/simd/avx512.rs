//! The lanes of AVX2 with the instructions of AVX-512: twice the registers, and masks of their own.
//!
//! Only for kernels that ask for so many registers, the others run as for AVX2: of those, none was seen to gain. Wider
//! vectors would gain nothing on processors that execute them in two halves, and lower the clock of others.

use super::avx2::Ymm;
use super::{Kernel, avx2};

/// Whether this processor has everything that [`run`] is compiled for, and what [`avx2::run`] is compiled for.
pub(super) fn detected() -> bool {
    avx2::detected()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
}

/// Compiles `kernel` for AVX-512 and runs it.
///
/// # Safety
/// The processor must have the features named below: [`detected`] must have returned true.
#[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512vl,avx512bw,avx512dq")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Ymm<32>>()
}

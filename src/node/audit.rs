//! Verification of audit logs.

use super::errors::{Code, invalid};
use super::task::fallible_promise;
use crate::calls::arguments::natural;
use crate::security::audit::{Anchor, AuditError, VerifyOptions, head_of_hex, hex_of_head, verify};
use napi::bindgen_prelude::PromiseRaw;
use napi::{Env, Error};
use napi_derive::napi;
use std::path::PathBuf;

/// What was found.
#[napi(object, object_from_js = false)]
pub struct NativeVerification {
    pub ok: bool,
    pub entries: f64,
    pub head: String,
    pub broken_at: Option<f64>,
    pub truncated: bool,
    pub unsigned_tail: f64,
}

/// Both of `anchor_seq` and `anchor_head`, or neither.
#[napi(catch_unwind, ts_return_type = "Promise<NativeVerification>")]
pub fn verify_audit_log<'env>(
    env: &'env Env,
    path: String,
    public_key: Option<String>,
    anchor_seq: Option<f64>,
    anchor_head: Option<String>,
) -> Result<PromiseRaw<'env, NativeVerification>, Error<Code>> {
    let anchor = match (anchor_seq, anchor_head) {
        (Some(seq), Some(head)) => {
            Some(Anchor { seq: natural("anchor.seq", seq)? as u64, head: head_of_hex(&head).map_err(code)? })
        }
        (None, None) => None,
        _ => return Err(invalid("an anchor is a number and a hash")),
    };
    let work = move || {
        let options = VerifyOptions { public_key: public_key.as_deref(), anchor };
        verify(&PathBuf::from(path), &options).map_err(code)
    };
    fallible_promise(env, work, |found| NativeVerification {
        ok: found.ok,
        entries: found.entries as f64,
        head: hex_of_head(&found.head),
        broken_at: found.broken_at.map(|seq| seq as f64),
        truncated: found.truncated,
        unsigned_tail: found.unsigned_tail as f64,
    })
}

fn code(error: AuditError) -> Error<Code> {
    let code = match error {
        AuditError::Store(_) | AuditError::InUse(_) => Code::STORE,
        AuditError::Permissions(_) => Code::FORBIDDEN,
        AuditError::NotFound(_) => Code::NOT_FOUND,
        AuditError::Corrupt(_) => Code::CORRUPT,
        AuditError::Invalid(_) => Code::INVALID_ARGUMENT,
        AuditError::Closed => Code::INTERNAL,
    };
    Error::new(code, error.to_string())
}

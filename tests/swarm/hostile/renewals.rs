//! Who was let in, and wants certificates, or to run under some, that it was not given.

use super::peer::{Net, Peer, hello};
use crate::live::{close, start};
use bytes::Bytes;
use midstreamer::protocol::messages::{Code, FrameKind, Hello, Renew, RenewalKept, Renewed};
use midstreamer::protocol::session::RENEWAL;
use midstreamer::security::{CertificateAuthority, Identity, IssueRequest, KeyRequest, Role};
use midstreamer::swarm::Coordinator;
use midstreamer::swarm::coordinator::CoordinatorConfig;
use std::sync::Arc;
use std::time::Duration;

fn authority() -> Arc<CertificateAuthority> {
    Arc::new(CertificateAuthority::in_memory("test").unwrap())
}

fn with(authority: &Arc<CertificateAuthority>) -> Coordinator {
    start(CoordinatorConfig { authority: Some(authority.clone()), ..CoordinatorConfig::default() }).0
}

fn issue(authority: &CertificateAuthority, id: &str, valid_ms: u64) -> Identity {
    let request = IssueRequest { valid_ms: Some(valid_ms), ..IssueRequest::new(id, Role::Agent) };
    authority.issue(&request).unwrap().identity
}

fn able() -> Hello {
    Hello { features: RENEWAL, ..hello() }
}

async fn ask(peer: &mut Peer, csr: &[u8]) -> Renewed {
    let renew = Renew { csr: Bytes::copy_from_slice(csr) };
    peer.control.send(FrameKind::Renew, 7, &renew, &[]).await;
    let frame = peer.control.next_of(FrameKind::Renewed).await;
    assert_eq!(frame.request, 7);
    frame.message().unwrap()
}

/// An identity so old that it may be renewed, and that lasts.
async fn old(authority: &CertificateAuthority, id: &str) -> Identity {
    let identity = issue(authority, id, 20_000);
    tokio::time::sleep(Duration::from_millis(6_500)).await;
    identity
}

#[test]
fn a_certificate_comes_when_it_is_due_for_the_own_name_and_a_key_that_is_shown() {
    let authority = authority();
    let coordinator = with(&authority);
    let net = Net::new();
    let endpoint = net.endpoint();
    net.run(async {
        let young = issue(&authority, "young", 3_600_000);
        let mut peer = Peer::welcomed(endpoint.clone(), &young, coordinator.address(), &able()).await;
        assert_eq!(peer.welcome.features, RENEWAL);
        let request = KeyRequest::new().unwrap();
        let early = ask(&mut peer, request.csr_der()).await;
        assert_eq!((early.code(), early.certificate.as_str()), (Code::Overloaded, ""));

        let identity = old(&authority, "old").await;
        let mut peer = Peer::welcomed(endpoint.clone(), &identity, coordinator.address(), &able()).await;
        for csr in [&[][..], &[0x30], &[0xff; 4096], &[0x30; 60_000]] {
            let refused = ask(&mut peer, csr).await;
            assert_eq!((refused.code(), refused.certificate.as_str()), (Code::Protocol, ""), "{refused:?}");
        }
        // Somebody else's request, with a bit of its signature turned.
        let mut broken = request.csr_der().to_vec();
        *broken.last_mut().unwrap() ^= 1;
        assert_eq!(ask(&mut peer, &broken).await.code(), Code::Protocol);
        let before = authority.list().unwrap().len();
        let renewed = ask(&mut peer, request.csr_der()).await;
        assert_eq!(renewed.code(), Code::Unspecified, "{}", renewed.message);
        let second = request.into_identity(&renewed.certificate, &renewed.ca).unwrap();
        assert_eq!(second.peer().name, identity.peer().name);
        assert_eq!(authority.list().unwrap().len(), before + 1, "and no more were signed");
        // Whoever does not keep what it is given gets a few, and then none.
        let mut collected = 1;
        loop {
            let renewed = ask(&mut peer, KeyRequest::new().unwrap().csr_der()).await;
            if renewed.code() != Code::Unspecified {
                assert_eq!((renewed.code(), collected), (Code::Overloaded, 3), "{}", renewed.message);
                break;
            }
            collected += 1;
        }
    });
    close(&coordinator);
}

#[test]
fn nobody_runs_under_a_certificate_by_naming_it() {
    let authority = authority();
    let coordinator = with(&authority);
    let net = Net::new();
    let endpoint = net.endpoint();
    net.run(async {
        // It has an old key, and knows the number of the certificate that came after it.
        let stolen = issue(&authority, "a", 3_600_000);
        let newer = issue(&authority, "a", 7_200_000);
        let mut peer = Peer::welcomed(endpoint.clone(), &stolen, coordinator.address(), &able()).await;
        let kept = RenewalKept { serial: newer.peer().serial.to_string() };
        peer.control.send(FrameKind::RenewalKept, 0, &kept, &[]).await;
        // The session stays what it was: the other's revocation does not end it, its own does.
        authority.revoke(newer.peer().serial.as_str(), None).unwrap();
        let ended = tokio::time::timeout(Duration::from_millis(1_500), peer.connection.closed()).await;
        assert!(ended.is_err(), "{ended:?}");
        authority.revoke(stolen.peer().serial.as_str(), None).unwrap();
        assert_eq!(peer.cut_off().await.0, Code::Unauthenticated);
    });
    close(&coordinator);
}

#[test]
fn where_nothing_is_renewed_nobody_asks() {
    let authority = authority();
    let identity = authority.issue(&IssueRequest::new("desk", Role::Coordinator)).unwrap().identity;
    let config = CoordinatorConfig { identity: Some(identity), ..CoordinatorConfig::default() };
    let (coordinator, _events) = start(config);
    let net = Net::new();
    let endpoint = net.endpoint();
    net.run(async {
        let mut peer =
            Peer::welcomed(endpoint, &issue(&authority, "a", 60_000), coordinator.address(), &able()).await;
        assert_eq!(peer.welcome.features, 0);
        let renew = Renew { csr: Bytes::copy_from_slice(KeyRequest::new().unwrap().csr_der()) };
        peer.control.send(FrameKind::Renew, 1, &renew, &[]).await;
        assert_eq!(peer.cut_off().await.0, Code::Protocol);
    });
    close(&coordinator);
}

#[test]
fn what_was_taken_back_has_no_successor() {
    let authority = authority();
    let coordinator = with(&authority);
    let net = Net::new();
    let endpoint = net.endpoint();
    net.run(async {
        let identity = old(&authority, "a").await;
        let mut peer = Peer::welcomed(endpoint, &identity, coordinator.address(), &able()).await;
        // Both at once: whichever is first, no certificate of this member is left that lets it in.
        let taking = {
            let authority = authority.clone();
            tokio::task::spawn_blocking(move || authority.revoke("a", None).unwrap())
        };
        let request = KeyRequest::new().unwrap();
        let renew = Renew { csr: Bytes::copy_from_slice(request.csr_der()) };
        peer.control.send(FrameKind::Renew, 1, &renew, &[]).await;
        taking.await.unwrap();
        assert_eq!(peer.cut_off().await.0, Code::Unauthenticated);
    });
    let issued = authority.list().unwrap();
    assert!(issued.iter().filter(|issued| issued.id == "a").all(|issued| issued.revoked.is_some()));
    close(&coordinator);
}

//! Who comes with the wrong certificate, or does not finish.

use super::peer::{Net, Peer, Stream, dial, encoded, ending, forged, hello, of_identity, quic};
use super::{Swarm, metric, until};
use crate::live::{PATIENCE, close, close_agent, connect, echo, start, submit, task};
use crate::security::{AGENT, COORDINATOR, Lawless, Wild, alert, of_agent, of_coordinator};
use midstreamer::protocol::messages::{Code, FrameKind, Hello, Refuse};
use midstreamer::security::Refusal;
use midstreamer::swarm::coordinator::CoordinatorConfig;
use quinn::ConnectionError;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

fn failures(reason: &str) -> String {
    format!("midstreamer_handshake_failures_total{{reason=\"{reason}\"}}")
}

#[test]
fn who_has_the_wrong_certificate_is_told_and_counted() {
    let lawless = Lawless::new();
    let config = CoordinatorConfig {
        identity: Some(lawless.identity(&of_coordinator(&[COORDINATOR]))),
        ..CoordinatorConfig::default()
    };
    let (coordinator, _events) = start(config);
    let honest = lawless.identity(&of_agent(&["spiffe://test.midstreamer/swarm/test/agent/honest"]));
    let honest = connect(coordinator.address(), honest, &["echo"], echo).unwrap();
    let of_other_swarm = ["spiffe://test.midstreamer/swarm/other/agent/a"];
    let expired = Wild { from: -7200, to: -60, ..of_agent(&[AGENT]) };
    let early = Wild { from: 3600, to: 7200, ..of_agent(&[AGENT]) };
    let mut other_protocol = lawless.client(Some(&of_agent(&[AGENT])));
    other_protocol.alpn_protocols = vec![b"h3".to_vec()];
    // What the client is told is the nearest that TLS has a word for.
    let rows = [
        (lawless.client(None), "no_certificate", Some(Refusal::NoCertificate)),
        (Lawless::new().client(Some(&of_agent(&[AGENT]))), "other_authority", Some(Refusal::OtherAuthority)),
        (lawless.client(Some(&expired)), "expired", Some(Refusal::Expired)),
        (lawless.client(Some(&early)), "not_yet_valid", Some(Refusal::Expired)),
        (lawless.client(Some(&of_coordinator(&[COORDINATOR]))), "wrong_role", Some(Refusal::WrongRole)),
        (lawless.client(Some(&of_agent(&of_other_swarm))), "other_swarm", Some(Refusal::OtherSwarm)),
        (lawless.client(Some(&of_agent(&[]))), "malformed", Some(Refusal::Malformed)),
        (other_protocol, "no_common_version", None),
    ];
    let net = Net::new();
    let endpoint = net.endpoint();
    for (tls, reason, told) in rows {
        let metric_name = failures(reason);
        assert_eq!(metric(&coordinator, &metric_name), 0);
        let error = net.run(async {
            match dial(&endpoint, quic(Arc::new(tls)), coordinator.address()).await {
                // A client of TLS 1.3 is through before its certificate was looked at.
                Ok(connection) => connection.closed().await,
                Err(error) => error,
            }
        });
        let alert = alert(&error).unwrap_or_else(|| panic!("{reason}: {error}"));
        assert_eq!(Refusal::of_alert(alert), told, "{reason}: {error}");
        until(reason, || metric(&coordinator, &metric_name) > 0);
        assert_eq!(metric(&coordinator, &metric_name), 1, "{reason}");
    }
    // Nobody was counted twice, under two reasons.
    let text = coordinator.metrics();
    let sum: u64 = text
        .lines()
        .filter(|line| line.starts_with("midstreamer_handshake_failures_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(sum, 8, "{text}");
    let result = submit(&coordinator, task("echo", b"x")).recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(&*result.agent, "honest");
    close_agent(&honest.agent);
    close(&coordinator);
}

#[test]
fn who_says_nothing_is_sent_away() {
    let swarm = Swarm::new(CoordinatorConfig::default());
    let net = Net::new();
    let (a, b) = (swarm.identity("a"), swarm.identity("b"));
    let endpoint = net.endpoint();
    net.run(async {
        // Not a stream; and a stream with half a frame.
        let silent = dial(&endpoint, of_identity(&a), swarm.coordinator.address()).await.unwrap();
        let slow = dial(&endpoint, of_identity(&b), swarm.coordinator.address()).await.unwrap();
        let mut control = Stream::open(&slow).await;
        control.raw(&[200, 0, 0, 0, 1, 0]).await;
        for connection in [silent, slow] {
            assert_eq!(ending(&connection).await, (Code::Timeout, "no Hello in time".to_owned()));
        }
    });
    assert_eq!(swarm.metric("midstreamer_sessions_refused_total{code=\"timeout\"}"), 2);
    swarm.end();
}

#[test]
fn a_hello_that_is_none_is_refused_with_words() {
    let swarm = Swarm::new(CoordinatorConfig::default());
    let net = Net::new();
    let identity = swarm.identity("a");
    let endpoint = net.endpoint();
    let good = || encoded(FrameKind::Hello, 0, &hello(), &[]).to_vec();
    let of = |hello| encoded(FrameKind::Hello, 0, &hello, &[]).to_vec();
    let mut rows = vec![
        ("Heartbeat", encoded(FrameKind::Heartbeat, 0, &Refuse::default(), &[]).to_vec()),
        ("at most 65536", u32::MAX.to_le_bytes().to_vec()),
        ("at most 65536", 65_537_u32.to_le_bytes().to_vec()),
        ("too short", 3_u32.to_le_bytes().to_vec()),
        ("unknown frame kind", forged(0x7f, 0, &[0])),
        ("unknown flags", forged(0x01, 0x80, &[0])),
        ("header", forged(0x01, 0, &[3, 0xff, 0xff, 0xff])),
        ("agent type", of(Hello { agent_type: String::new(), ..hello() })),
        ("slots", of(Hello { slots: 5000, ..hello() })),
        ("instance", of(Hello { instance: vec![1].into(), ..hello() })),
    ];
    let twice = [of(Hello { more: true, ..hello() }), good()].concat();
    rows.push(("Hello", twice));
    let total = rows.len() as u64;
    for (words, bytes) in rows {
        net.run(async {
            let connection =
                dial(&endpoint, of_identity(&identity), swarm.coordinator.address()).await.unwrap();
            let mut control = Stream::open(&connection).await;
            control.raw(&bytes).await;
            let frame = control.next_of(FrameKind::Refuse).await;
            let refuse: Refuse = frame.message().unwrap();
            assert_eq!(refuse.code(), Code::Protocol, "{words}: {refuse:?}");
            assert!(refuse.message.contains(words), "{words}: {refuse:?}");
            connection.close(0_u32.into(), b"read it");
        });
    }
    let name = "midstreamer_sessions_refused_total{code=\"protocol\"}";
    until("every refusal is counted", || swarm.metric(name) == total);
    assert_eq!(swarm.coordinator.agents().len(), 1);
    swarm.end();
}

#[test]
fn five_hundred_at_once_are_all_let_in() {
    let swarm = Swarm::new(CoordinatorConfig::default());
    let net = Net::new();
    let identities: Vec<_> = (0..500).map(|i| swarm.identity(&format!("agent-{i}"))).collect();
    let begin = Instant::now();
    let address = swarm.coordinator.address().to_owned();
    let endpoint = net.endpoint();
    let peers = net.run(async {
        let dials: Vec<_> = identities
            .into_iter()
            .map(|identity| {
                let (endpoint, address) = (endpoint.clone(), address.clone());
                let hello = Hello { slots: 0, ..hello() };
                tokio::spawn(async move { Peer::welcomed(endpoint, &identity, &address, &hello).await })
            })
            .collect();
        let mut peers = Vec::new();
        for dial in dials {
            peers.push(dial.await.unwrap());
        }
        peers
    });
    println!("500 handshakes and welcomes in {:?}", begin.elapsed());
    assert_eq!(swarm.coordinator.agents().len(), 501);
    drop(peers);
    swarm.end();
}

#[test]
fn handshakes_that_are_never_finished_do_not_keep_others_out() {
    let swarm = Swarm::new(CoordinatorConfig::default());
    let net = Net::new();
    let identity = swarm.identity("a");
    // Their first packets go on, from another address; what comes back goes nowhere.
    let hole = UdpSocket::bind("127.0.0.1:0").unwrap();
    hole.set_read_timeout(Some(PATIENCE)).unwrap();
    let (from, into) =
        (swarm.coordinator.address().parse::<SocketAddr>().unwrap(), hole.local_addr().unwrap());
    let endpoint = net.endpoint();
    let begin = Instant::now();
    let mut packet = [0; 2048];
    // More than there are places; each stays until its time is up.
    let dials: Vec<_> = (0..100)
        .map(|_| {
            let dial = net.connecting(&endpoint, of_identity(&identity), into);
            let mut passed_on = 0;
            while passed_on < 2 {
                let (length, sender) = hole.recv_from(&mut packet).unwrap();
                if sender != from {
                    hole.send_to(&packet[..length], from).unwrap();
                    passed_on += 1;
                }
            }
            dial
        })
        .collect();
    let late = connect(swarm.coordinator.address(), swarm.identity("late"), &[], echo).unwrap();
    println!(
        "let in {:?} after the first of {} handshakes that are never finished",
        begin.elapsed(),
        dials.len()
    );
    // Nobody had to be given up for it: that takes five seconds.
    assert_eq!(swarm.metric(&failures("timeout")), 0);
    close_agent(&late.agent);
    net.run(async { endpoint.close(0_u32.into(), b"") });
    drop(dials);
    swarm.end();
}

#[test]
fn a_handshake_that_never_ends_is_counted() {
    let swarm = Swarm::new(CoordinatorConfig::default());
    let net = Net::new();
    let endpoint = net.endpoint();
    let identity = swarm.identity("a");
    let hole = UdpSocket::bind("127.0.0.1:0").unwrap();
    hole.set_read_timeout(Some(PATIENCE)).unwrap();
    let into = hole.local_addr().unwrap();
    let dialling = net.connecting(&endpoint, of_identity(&identity), into);
    let mut packet = [0; 2048];
    let (length, _) = hole.recv_from(&mut packet).unwrap();
    hole.send_to(&packet[..length], swarm.coordinator.address()).unwrap();
    until("it is given up", || swarm.metric(&failures("timeout")) == 1);
    net.run(async { endpoint.close(0_u32.into(), b"") });
    assert!(matches!(net.run(dialling), Err(ConnectionError::LocallyClosed | ConnectionError::TimedOut)));
    swarm.end();
}

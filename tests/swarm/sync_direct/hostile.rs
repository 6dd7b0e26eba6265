//! Peers with good certificates that do as they like.

use super::links::{authority, issue, listen};
use crate::hostile::peer::{Net, ending, quic};
use crate::sync_lane::engine::Node;
use bytes::BytesMut;
use midstreamer::protocol::direct::{ALPN, put_preamble, take_preamble};
use midstreamer::protocol::messages::Code;
use midstreamer::security::{Admission, Identity, Role, client_config};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use std::time::Duration;
use tokio::time::timeout;

fn preamble(database: &str) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_preamble(database, &mut out).unwrap();
    out.to_vec()
}

async fn dial(endpoint: &Endpoint, identity: &Identity, address: &str) -> Connection {
    let config = quic(client_config(identity, &[ALPN], &Admission::default()).unwrap());
    endpoint.connect_with(config, address.parse().unwrap(), "peer").unwrap().await.unwrap()
}

/// A stream on which both sides have said what it is for.
async fn linked(connection: &Connection) -> (SendStream, RecvStream) {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(&preamble("memory")).await.unwrap();
    let mut arrived = BytesMut::new();
    while take_preamble(&mut arrived).unwrap().is_none() {
        arrived.extend_from_slice(&receive.read_chunk(100, true).await.unwrap().unwrap().bytes);
    }
    (send, receive)
}

#[test]
fn what_is_no_link_is_closed_with_words() {
    let (authority, net) = (authority(), Net::new());
    let mut hub = Node::new("memory");
    let address = listen(&hub, "127.0.0.1:0", &issue(&authority, "hub", Role::Peer)).unwrap();
    let good = preamble("memory");
    let rows: [(&str, Vec<u8>); 7] = [
        ("does not begin", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("version 2", b"MQSL\x02\x00\x06\x00memory".to_vec()),
        ("0 bytes", b"MQSL\x01\x00\x00\x00".to_vec()),
        ("not UTF-8", b"MQSL\x01\x00\x02\x00\xff\xff".to_vec()),
        ("message of 0 bytes", [&good[..], &[0; 4]].concat()),
        ("message of 262145 bytes", [&good[..], &[1, 0, 4, 0]].concat()),
        ("message of 4294967295 bytes", [&good[..], &[0xff; 4], &[0; 100]].concat()),
    ];
    for (words, bytes) in rows {
        let (identity, endpoint) = (issue(&authority, "a", Role::Agent), net.endpoint());
        net.run(async {
            let connection = dial(&endpoint, &identity, &address).await;
            let (mut send, _receive) = connection.open_bi().await.unwrap();
            drop(send.write_all(&bytes).await);
            let (code, reason) = ending(&connection).await;
            assert!(code == Code::Protocol && reason.contains(words), "{words}: {code:?} {reason}");
        });
    }
    // The last three were up.
    for _ in 0..3 {
        let (link, ..) = hub.up();
        assert_eq!(hub.down(link).unwrap().code, midstreamer::swarm::SwarmCode::Protocol);
    }
    hub.close();
}

#[test]
fn who_says_nothing_is_not_waited_for_and_who_ends_its_stream_is_gone() {
    let (authority, net) = (authority(), Net::new());
    let mut hub = Node::new("memory");
    let address = listen(&hub, "127.0.0.1:0", &issue(&authority, "hub", Role::Peer)).unwrap();
    let endpoint = net.endpoint();
    let (silent, ending_one) =
        (issue(&authority, "silent", Role::Agent), issue(&authority, "a", Role::Agent));
    net.run(async {
        let silent = dial(&endpoint, &silent, &address).await;
        let connection = dial(&endpoint, &ending_one, &address).await;
        let (mut send, _receive) = linked(&connection).await;
        // In the middle of a message.
        send.write_all(&[10, 0, 0, 0, 1]).await.unwrap();
        send.finish().unwrap();
        let (code, reason) = ending(&connection).await;
        assert_eq!((code, reason.as_str()), (Code::Protocol, "the stream of a direct link ended"));
        // Neither a second stream nor one way.
        let soon = Duration::from_millis(300);
        let connection = dial(&endpoint, &ending_one, &address).await;
        let _streams = linked(&connection).await;
        assert!(timeout(soon, connection.open_bi()).await.is_err());
        assert!(timeout(soon, connection.open_uni()).await.is_err());
        silent.closed().await;
    });
    let (link, ..) = hub.up();
    assert!(hub.down(link).is_some());
    hub.close();
}

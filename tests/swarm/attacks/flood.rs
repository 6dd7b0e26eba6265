//! Handshakes and connections without end.

use crate::hostile::peer::{Net, Peer, dial, ending, hello, of_identity, quic};
use crate::hostile::{Swarm, metric};
use crate::live::{PATIENCE, close, close_agent, connect, echo, start, submit, task};
use crate::security::Lawless;
use midstreamer::protocol::messages::{Code, Hello};
use midstreamer::swarm::agent::AgentEvent;
use midstreamer::swarm::coordinator::CoordinatorConfig;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn decided(decision: &str) -> String {
    format!("midstreamer_connection_attempts_total{{decision=\"{decision}\"}}")
}

/// A thousand handshakes without a certificate from the address of a hundred agents that have work to do.
#[test]
fn a_thousand_handshakes_from_one_address_disturb_nobody() {
    const HONEST: usize = 100;
    const HOSTILE: usize = 1000;
    let (coordinator, events) = start(CoordinatorConfig::default());
    let identity = |i: usize| coordinator.development_identity(&format!("honest-{i}")).unwrap();
    let honest: Vec<_> =
        (0..HONEST).map(|i| connect(coordinator.address(), identity(i), &["echo"], echo).unwrap()).collect();
    let begun = || metric(&coordinator, &decided("accepted")) + metric(&coordinator, &decided("delayed"));
    let before = begun();
    assert_eq!(before, HONEST as u64);

    let net = Net::new();
    let endpoint = net.endpoint();
    let nobody = quic(Arc::new(Lawless::new().client(None)));
    let begin = Instant::now();
    let flooding = Arc::new(AtomicBool::new(true));
    let flood = {
        let (flooding, address) = (flooding.clone(), coordinator.address().to_owned());
        std::thread::spawn(move || {
            let mut refused = 0;
            net.run(async {
                let dials: Vec<_> = (0..HOSTILE)
                    .map(|_| {
                        let (endpoint, nobody, address) = (endpoint.clone(), nobody.clone(), address.clone());
                        tokio::spawn(async move {
                            match dial(&endpoint, nobody, &address).await {
                                Ok(connection) => drop(connection.closed().await),
                                Err(error) => drop(error),
                            }
                        })
                    })
                    .collect();
                for dial in dials {
                    // Those that are not answered would try for half a minute.
                    while !dial.is_finished() && flooding.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    refused += usize::from(dial.is_finished());
                    dial.abort();
                }
            });
            refused
        })
    };
    // Meanwhile, until all of it had its chance, the work goes on.
    let mut done = 0;
    while begin.elapsed() < Duration::from_secs(2) || done < 500 {
        let results: Vec<_> = (0..50).map(|_| submit(&coordinator, task("echo", b"still here"))).collect();
        for result in results {
            let result = result.recv_timeout(PATIENCE).unwrap().unwrap();
            assert_eq!((&result.value[..], result.attempts), (&b"still here"[..], 1));
            done += 1;
        }
    }
    // Somebody who knocks at another address, and is expected, is let in while it lasts.
    #[cfg(target_os = "linux")]
    {
        let net = Net::new();
        let late = coordinator.development_identity("late").unwrap();
        net.run(async {
            let elsewhere = quinn::Endpoint::client("127.0.0.2:0".parse().unwrap()).unwrap();
            let hello = Hello { slots: 0, ..hello() };
            Peer::welcomed(elsewhere, &late, coordinator.address(), &hello).await;
        });
    }
    flooding.store(false, Ordering::Relaxed);
    let refused = flood.join().unwrap();
    let seconds = begin.elapsed().as_secs() + 1;
    let computed = begun() - before - u64::from(cfg!(target_os = "linux"));
    println!(
        "{done} tasks; {computed} handshakes computed and {refused} answered of {HOSTILE} in {seconds} s"
    );
    // Some until the address is known for it, those that had begun by then, and one a second.
    assert!(computed <= 16 + 56 + seconds, "{computed} handshakes were computed in {seconds} s");
    assert!(metric(&coordinator, &decided("retried")) >= 100);
    for agent in &honest {
        let lost = agent.events.try_iter().find(|event| matches!(event, AgentEvent::Disconnected { .. }));
        assert!(lost.is_none(), "{lost:?}");
    }
    assert!(coordinator.agents().len() >= HONEST);
    for agent in &honest {
        close_agent(&agent.agent);
    }
    close(&coordinator);
    drop(events);
}

#[test]
fn an_identity_has_few_connections_that_do_not_log_in() {
    let swarm = Swarm::new(CoordinatorConfig::default());
    let net = Net::new();
    let (greedy, other) = (swarm.identity("greedy"), swarm.identity("other"));
    let endpoint = net.endpoint();
    net.run(async {
        let mut silent = Vec::new();
        for _ in 0..4 {
            silent.push(dial(&endpoint, of_identity(&greedy), swarm.coordinator.address()).await.unwrap());
        }
        let fifth = dial(&endpoint, of_identity(&greedy), swarm.coordinator.address()).await.unwrap();
        let (code, reason) = ending(&fifth).await;
        assert_eq!(code, Code::Overloaded, "{reason}");
        assert!(reason.contains("greedy has 4 connections that have not logged in"), "{reason}");
        // Another identity has nothing to do with it, and the same one may come again when it has tidied up.
        Peer::welcomed(endpoint.clone(), &other, swarm.coordinator.address(), &hello()).await;
        for connection in &silent {
            connection.close(0_u32.into(), b"");
        }
    });
    assert_eq!(swarm.metric("midstreamer_sessions_refused_total{code=\"overloaded\"}"), 1);
    crate::hostile::until("the four are gone", || {
        swarm.metric("midstreamer_sessions_refused_total{code=\"left\"}") == 4
    });
    net.run(Peer::welcomed(endpoint, &greedy, swarm.coordinator.address(), &hello()));
    swarm.end();
}

//! /metrics, /agents, /healthz and /readyz over HTTP/1.1, for monitoring alone.

use super::network;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Connections at once; more wait.
const MAX_CONNECTIONS: usize = 64;

/// The longest for a request's head, and for a connection as a whole.
const HEAD: Duration = Duration::from_secs(5);
const CONNECTION: Duration = Duration::from_secs(60);

/// What the server asks.
pub(super) trait Monitored: Send + Sync {
    /// Prometheus text.
    fn metrics(&self) -> String;
    /// The connected agents, as JSON.
    fn agents(&self) -> Result<String, serde_json::Error>;
    /// Why no tasks are taken at present, if so.
    fn not_ready(&self) -> Option<&'static str>;
}

/// Listens; serves as long as the runtime lives.
pub(super) fn serve(
    network: &network::Network,
    address: SocketAddr,
    monitored: Arc<dyn Monitored>,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let local = listener.local_addr()?;
    let _inside = network.handle().enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    drop(network.spawn(accept(listener, monitored)));
    Ok(local)
}

async fn accept(listener: tokio::net::TcpListener, monitored: Arc<dyn Monitored>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: that passes.
                tracing::warn!(%error, "no connection for monitoring");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let monitored = monitored.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let response = answer(&request, monitored.as_ref());
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), answer);
            // A client that goes away, or talks nonsense, is its own affair.
            drop(tokio::time::timeout(CONNECTION, connection).await);
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, monitored: &dyn Monitored) -> Response<Full<Bytes>> {
    let text = |status: StatusCode, kind: &'static str, text: String| {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    };
    let plain = |status, message: &str| text(status, "text/plain; charset=utf-8", format!("{message}\n"));
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", monitored.metrics()),
        "/agents" => match monitored.agents() {
            Ok(agents) => text(StatusCode::OK, "application/json", agents),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        "/healthz" => plain(StatusCode::OK, "ok"),
        "/readyz" => match monitored.not_ready() {
            None => plain(StatusCode::OK, "ready"),
            Some(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, reason),
        },
        _ => plain(StatusCode::NOT_FOUND, "there are /metrics, /agents, /healthz and /readyz"),
    }
}

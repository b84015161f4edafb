//! Between the program under test and the server.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use crate::answer::{Reply, Whole, half};
use crate::record::{Record, Request};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answered = Response<UnsyncBoxBody<Bytes, Failure>>;

/// The proxy's part of what it shares with the test.
#[derive(Clone)]
pub(crate) struct Proxy {
    record: Arc<Record>,
    server: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Proxy {
    pub(crate) fn new(record: Arc<Record>, server: SocketAddr) -> Self {
        // A connection for each request: none that the server closed meanwhile is ever used again.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { record, server, client }
    }

    /// Serves until the runtime ends.
    pub(crate) async fn serve(self, listener: TcpListener) {
        loop {
            let Ok((connection, _)) = listener.accept().await else { continue };
            let proxy = self.clone();
            let service = service_fn(move |request| {
                let proxy = proxy.clone();
                async move { proxy.answer(request).await }
            });
            // Its error is one that a test has asked for, or a client that went away.
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), service));
        }
    }

    /// An error closes the connection without an answer.
    async fn answer(&self, request: http::Request<Incoming>) -> Result<Answered, Failure> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let (number, answer) = self.record.note(Request::new(&head, &body));
        if !answer.delay.is_zero() {
            tokio::time::sleep(answer.delay).await;
        }
        if let Some(gate) = &answer.gate {
            gate.passed().await;
        }
        let real = if answer.effect { Some(self.forward(head, body).await?) } else { None };
        let response = match (answer.reply, real) {
            (Reply::Pass, Some(real)) => real.map(|body| body.map_err(Into::into).boxed_unsync()),
            (Reply::Change(change), Some(real)) => {
                let mut real = whole(real).await?;
                change(&mut real);
                response(real)
            }
            (Reply::BreakOff, Some(real)) => broken_off(real).await?,
            (Reply::Pass | Reply::Change(_) | Reply::BreakOff, None) => unreachable!("the server was asked"),
            (Reply::Instead(instead), real) => {
                swallow(real).await?;
                response(instead)
            }
            (Reply::Cut, real) => {
                swallow(real).await?;
                return Err("the test cuts the connection".into());
            }
            (Reply::Hang, real) => {
                swallow(real).await?;
                std::future::pending().await
            }
        };
        self.record.answered(number, response.status().as_u16());
        Ok(response)
    }

    async fn forward(
        &self,
        mut head: http::request::Parts,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri =
            Uri::builder().scheme("http").authority(self.server.to_string()).path_and_query(path).build()?;
        head.headers.remove(CONNECTION);
        if head.headers.remove(TRANSFER_ENCODING).is_some() {
            head.headers.insert(CONTENT_LENGTH, body.len().into());
        }
        let mut answer = self.client.request(http::Request::from_parts(head, Full::new(body))).await?;
        // Of the connection to the server, not of the client's.
        answer.headers_mut().remove(CONNECTION);
        Ok(answer)
    }
}

async fn whole(answer: Response<Incoming>) -> Result<Whole, Failure> {
    let (head, body) = answer.into_parts();
    let mut headers = head.headers;
    headers.remove(TRANSFER_ENCODING);
    Ok(Whole { status: head.status, headers, body: body.collect().await?.to_bytes().into() })
}

/// Reads an answer to its end: what it answers has then happened.
async fn swallow(answer: Option<Response<Incoming>>) -> Result<(), Failure> {
    if let Some(answer) = answer {
        answer.into_body().collect().await?;
    }
    Ok(())
}

fn response(answer: Whole) -> Answered {
    let answer = answer.with_length();
    let body = Full::new(Bytes::from(answer.body)).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

async fn broken_off(answer: Response<Incoming>) -> Result<Answered, Failure> {
    let answer = whole(answer).await?.with_length();
    let body = Bytes::from(answer.body);
    let broken = Broken { length: body.len() as u64, rest: Some(half(&body)), flushed: false };
    let mut response = Response::new(broken.boxed_unsync());
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}

/// A body that fails before its end.
struct Broken {
    length: u64,
    rest: Option<Bytes>,
    flushed: bool,
}

impl Body for Broken {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if let Some(piece) = self.rest.take() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        // What was written so far is sent while the body has nothing to give; an error would throw it away.
        if !std::mem::replace(&mut self.flushed, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err("the test breaks the answer off".into())))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

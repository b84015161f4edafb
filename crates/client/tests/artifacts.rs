//! What jobs left behind, against a server on a loopback port.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use axum::Router;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::get;
use minitower_client::{Error, TeamClient};
use support::{json, serve};

fn artifact(path: &str) -> String {
    format!(
        r#"{{"path":"{path}","bytes":3,"sha256":"00","content_type":"text/csv","created_at":"2026-01-02T03:04:05Z"}}"#
    )
}

#[tokio::test]
async fn the_list_is_read_to_its_end() {
    let list = async |RawQuery(query): RawQuery| {
        let artifacts = match query.as_deref() {
            None | Some("") => [artifact("a b"), artifact("c/d")].join(","),
            Some("after=c%2Fd") => artifact("e"),
            Some("after=e") => String::new(),
            query => panic!("{query:?}"),
        };
        json(200, &format!(r#"{{"artifacts":[{artifacts}]}}"#))
    };
    let router = Router::new().route("/api/v1/runs/7/artifacts", get(list));
    let team = TeamClient::new(&serve(router).await, "mtk_x").unwrap();
    let artifacts = team.artifacts(7).await.unwrap().artifacts;
    let paths: Vec<_> = artifacts.iter().map(|artifact| artifact.path.as_str()).collect();
    assert_eq!(paths, ["a b", "c/d", "e"]);
}

#[tokio::test]
async fn a_file_is_written_as_it_comes_and_deleted_by_its_path() {
    let path = "/api/v1/runs/7/artifacts/plots/a%20b%23.csv";
    let show = move |uri: Uri, headers: HeaderMap| async move {
        assert_eq!((uri.path(), &headers["authorization"]), (path, &"Bearer mtk_x".parse().unwrap()));
        "1,2"
    };
    let delete = move |uri: Uri| async move {
        assert_eq!(uri.path(), path);
        StatusCode::NO_CONTENT
    };
    let router = Router::new().route("/api/v1/runs/7/artifacts/{*path}", get(show).delete(delete));
    let team = TeamClient::new(&serve(router).await, "mtk_x").unwrap();
    let mut artifact = team.artifact(7, "plots/a b#.csv").await.unwrap();
    assert_eq!(artifact.content_length(), Some(3));
    let mut content = Vec::new();
    assert_eq!(artifact.write_to(&mut content, "here").await.unwrap(), 3);
    assert_eq!(content, b"1,2");
    team.delete_artifact(7, "plots/a b#.csv").await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_not_there_is_the_servers_error() {
    let missing =
        async || json(404, r#"{"error":{"code":"not_found","message":"run 7 has no artifact \"x\""}}"#);
    let router = Router::new().route("/api/v1/runs/7/artifacts/{*path}", get(missing));
    let team = TeamClient::new(&serve(router).await, "mtk_x").unwrap();
    let error = team.artifact(7, "x").await.unwrap_err();
    assert!(matches!(&error, Error::Api { status: 404, .. }), "{error}");
}

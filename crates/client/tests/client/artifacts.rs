//! What jobs left behind.

use minitower_client::{Error, TeamClient};
use minitower_test_plane::{Answer, Plane};

use crate::plane;

/// A run 1 that left these files.
fn with_files(files: &[(&str, &[u8])]) -> (Plane, TeamClient) {
    let (plane, team, client) = plane();
    team.run("hello");
    let runner = plane.runner("r");
    let lease = runner.lease();
    runner.start(&lease);
    for (path, content) in files {
        runner.artifact(&lease, path, content);
    }
    runner.exit(&lease, 0);
    (plane, client)
}

#[tokio::test]
async fn the_list_is_read_to_its_end() {
    let (plane, client) = with_files(&[("a b", b"1"), ("c/d", b"2"), ("e", b"3")]);
    let two = Answer::change_json(|body| body["artifacts"].as_array_mut().unwrap().truncate(2));
    plane.always("GET /runs/1/artifacts", two);
    let artifacts = client.artifacts(1).await.unwrap().artifacts;
    let paths: Vec<_> = artifacts.iter().map(|artifact| artifact.path.as_str()).collect();
    assert_eq!(paths, ["a b", "c/d", "e"]);
    let asked = plane.requests("GET /runs/1/artifacts");
    let queries: Vec<_> = asked.iter().map(|asked| asked.query.as_deref()).collect();
    assert_eq!(queries, [None, Some("after=c%2Fd"), Some("after=e")]);
}

#[tokio::test]
async fn a_file_is_written_as_it_comes_and_deleted_by_its_path() {
    let (plane, client) = with_files(&[("plots/a b#.csv", b"1,2")]);
    let mut artifact = client.artifact(1, "plots/a b#.csv").await.unwrap();
    assert_eq!(artifact.content_length(), Some(3));
    let mut content = Vec::new();
    assert_eq!(artifact.write_to(&mut content, "here").await.unwrap(), 3);
    assert_eq!(content, b"1,2");
    client.delete_artifact(1, "plots/a b#.csv").await.unwrap();
    assert!(client.artifacts(1).await.unwrap().artifacts.is_empty());
    for asked in plane.requests("* /runs/1/artifacts/**") {
        assert_eq!(asked.path, "/api/v1/runs/1/artifacts/plots/a%20b%23.csv");
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_the_servers_error() {
    let (_plane, client) = with_files(&[]);
    let error = client.artifact(1, "x").await.unwrap_err();
    assert!(matches!(&error, Error::Api { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn a_download_that_breaks_off_is_no_whole_file() {
    let (plane, client) = with_files(&[("a", b"0123456789")]);
    plane.once("GET /runs/1/artifacts/**", Answer::break_off());
    let mut artifact = client.artifact(1, "a").await.unwrap();
    let error = artifact.write_to(&mut Vec::new(), "here").await.unwrap_err();
    assert!(error.is_transport(), "{error}");
}

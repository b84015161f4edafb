//! Team tokens: listed, taken back, and at their end.

use std::time::Duration;

use axum::body::Body;
use http::header::AUTHORIZATION;
use http::{Method, Request};
use rstest::rstest;
use serde_json::{Value, json};

use crate::matrix::bed::{Answer, Bed, Template};

async fn ask(bed: &Bed, method: Method, path: &str, token: &str, body: Value) -> Answer {
    let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
    let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    let body = if body.is_null() { Body::empty() } else { body.to_string().into() };
    bed.send(request.body(body).unwrap()).await
}

async fn made(bed: &Bed, by: &str, body: Value) -> (Value, String) {
    let answer = ask(bed, Method::POST, "/tokens", by, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let made: Value = serde_json::from_str(&answer.body).unwrap();
    let token = made["token"].as_str().unwrap().to_owned();
    (made, token)
}

async fn status(bed: &Bed, token: &str) -> u16 {
    ask(bed, Method::GET, "/me", token, Value::Null).await.status.as_u16()
}

/// The token of that id as the list shows it.
async fn listed(bed: &Bed, by: &str, id: &Value) -> Option<Value> {
    let answer = ask(bed, Method::GET, "/tokens", by, Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.body.contains("mtk_"), "a secret is in the list: {answer:?}");
    let list: Value = serde_json::from_str(&answer.body).unwrap();
    list["tokens"].as_array().unwrap().iter().find(|token| token["token_id"] == *id).cloned()
}

#[tokio::test]
async fn a_tokens_use_is_listed_at_once_and_a_revoked_one_is_dead_at_once() {
    let template = Template::make().await;
    let (bed, admin) = (template.copy().await, &template.things.acme_admin);
    let (spare, token) = made(&bed, admin, json!({"name": "spare"})).await;
    let id = &spare["token_id"];
    let shown = listed(&bed, admin, id).await.unwrap();
    assert_eq!((&shown["name"], &shown["role"]), (&json!("spare"), &json!("member")));
    assert!(
        shown["created_at"].is_string() && shown["last_used_at"].is_null() && shown["expires_at"].is_null()
    );

    assert_eq!(status(&bed, &token).await, 200);
    let first = listed(&bed, admin, id).await.unwrap()["last_used_at"].clone();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(status(&bed, &token).await, 200);
    let second = listed(&bed, admin, id).await.unwrap()["last_used_at"].clone();
    assert!(first.is_string() && second.is_string() && first != second, "{first} {second}");

    let path = format!("/tokens/{id}");
    assert_eq!(ask(&bed, Method::DELETE, &path, admin, Value::Null).await.status, 204);
    assert_eq!(status(&bed, &token).await, 401);
    assert_eq!(listed(&bed, admin, id).await, None);
    assert_eq!(ask(&bed, Method::DELETE, &path, admin, Value::Null).await.status, 404);
    assert_eq!(status(&bed, admin).await, 200, "another token died with it");
}

#[tokio::test]
async fn a_member_revokes_its_own_token_and_no_other() {
    let template = Template::make().await;
    let (bed, admin) = (template.copy().await, &template.things.acme_admin);
    let (own, member) = made(&bed, admin, json!({})).await;
    let (other, _) = made(&bed, admin, json!({})).await;
    let revoke = async |id: &Value, by: &str| {
        let path = format!("/tokens/{}", id.as_str().map_or_else(|| id.to_string(), str::to_owned));
        ask(&bed, Method::DELETE, &path, by, Value::Null).await
    };
    for id in [&other["token_id"], &json!(7_999_999), &json!("x"), &json!(format!("{}/", own["token_id"]))] {
        let answer = revoke(id, &member).await;
        assert!([403, 404].contains(&answer.status.as_u16()), "{id}: {answer:?}");
    }
    assert!(revoke(&other["token_id"], &member).await.body.contains("itself alone"));
    assert_eq!(
        (revoke(&own["token_id"], &member).await.status.as_u16(), status(&bed, &member).await),
        (204, 401)
    );
    let audit = ask(&bed, Method::GET, "/audit", admin, Value::Null).await;
    let audit: Value = serde_json::from_str(&audit.body).unwrap();
    let newest = &audit["events"][0];
    assert_eq!(newest["action"], "token.delete", "{newest}");
    assert!(newest["actor"].to_string().contains(&own["token_id"].to_string()), "{newest}");
}

#[tokio::test]
async fn an_expired_token_is_dead_and_still_listed_and_outlived_by_none_it_made() {
    let template = Template::make().await;
    let (bed, admin) = (template.copy().await, &template.things.acme_admin);
    let (parent, parents) = made(&bed, admin, json!({"role": "admin", "expires_in": 1})).await;
    let (child, childs) = made(&bed, &parents, json!({})).await;
    assert_eq!(child["expires_at"], parent["expires_at"]);
    let (greedy, _) = made(&bed, &parents, json!({"expires_in": 86_400})).await;
    assert_eq!(greedy["expires_at"], parent["expires_at"]);
    assert_eq!((status(&bed, &parents).await, status(&bed, &childs).await), (200, 200));
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!((status(&bed, &parents).await, status(&bed, &childs).await), (401, 401));
    let shown = listed(&bed, admin, &parent["token_id"]).await.unwrap();
    assert_eq!(shown["expires_at"], parent["expires_at"]);
}

#[rstest]
#[case(json!(0))]
#[case(json!(-1))]
#[case(json!(316_224_001))]
#[case(json!("1h"))]
#[case(json!(1.5))]
#[tokio::test]
async fn a_life_out_of_bounds_is_refused_by_name(#[case] expires_in: Value) {
    let template = Template::make().await;
    let (bed, admin) = (template.copy().await, &template.things.acme_admin);
    let answer = ask(&bed, Method::POST, "/tokens", admin, json!({"expires_in": expires_in})).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.body.contains("expires_in"), "{answer:?}");
}

#[tokio::test]
async fn tokens_come_in_pages_newest_first() {
    let template = Template::make().await;
    let (bed, admin) = (template.copy().await, &template.things.acme_admin);
    let mut ids = Vec::new();
    loop {
        let before = ids.last().map_or(String::new(), |id| format!("&before={id}"));
        let path = format!("/tokens?limit=2{before}");
        let page: Value =
            serde_json::from_str(&ask(&bed, Method::GET, &path, admin, Value::Null).await.body).unwrap();
        let page = page["tokens"].as_array().unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2);
        ids.extend(page.iter().map(|token| token["token_id"].as_i64().unwrap()));
    }
    assert!(ids.len() >= 3 && ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
}

#[tokio::test]
async fn a_new_password_has_twelve_characters() {
    let template = Template::make().await;
    let bed = template.copy().await;
    for (path, token) in [("/teams/signup", ""), ("/bootstrap/team", crate::matrix::bed::BOOTSTRAP)] {
        let body = json!({"slug": "acme", "name": "acme", "password": "eleven char"});
        let answer = ask(&bed, Method::POST, path, token, body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.body.contains("password must have at least 12 characters"), "{answer:?}");
    }
}

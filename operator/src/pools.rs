//! `minitower-operator pools`: applies the `RunnerPool`s in a `ConfigMap`, and deletes those that it no longer contains.
//!
//! A Helm chart that contains the definition of a resource cannot contain objects of it: Helm asks the API server for every kind before it
//! creates anything (<https://helm.sh/docs/chart_best_practices/custom_resource_definitions/>). So the chart keeps its pools in a `ConfigMap`
//! and calls this program from a hook. The program reads the `ConfigMap` from the API server, because a volume may still show its state from
//! before the upgrade. The `ConfigMap` owns the pools: when the release is uninstalled, garbage collection deletes them, and nothing has to
//! run for that.

use std::collections::BTreeMap;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, ValidationDirective,
};
use kube::{Api, Client, Resource as _, ResourceExt as _};

use crate::calls::{CallError, call_within};
use crate::crd::RunnerPool;

/// The label of a pool from a `ConfigMap`, with the name of that `ConfigMap`.
pub const LABEL: &str = "minitower.dev/pools-of";
/// The name under which this program writes.
const FIELD_MANAGER: &str = "minitower-pools";
/// The longest that a call may take.
const CALL: Duration = Duration::from_secs(10);

/// Why a pool is not as the `ConfigMap` says.
#[derive(Debug, thiserror::Error)]
pub enum PoolsError {
    /// A key of the `ConfigMap` does not hold valid pools.
    #[error("{key} does not hold valid RunnerPools")]
    Parse {
        /// The key.
        key: String,
        /// What is wrong.
        source: ParseError,
    },
    /// The `ConfigMap` that the pools belong to cannot be read.
    #[error("cannot read ConfigMap {name}")]
    ReadConfigMap {
        /// Its name.
        name: String,
        /// Why.
        source: CallError,
    },
    /// The `ConfigMap` lacks what an owner needs.
    #[error("ConfigMap {name} has no uid")]
    NoUid {
        /// Its name.
        name: String,
    },
    /// The cluster does not serve the resource in this operator's version.
    #[error(
        "the cluster does not serve RunnerPool {version}, the version of this release: install its CustomResourceDefinition (crds.enabled=true, or kubectl apply the output of minitower-operator crd)",
        version = RunnerPool::api_version(&())
    )]
    Undefined,
    /// The definition in the cluster has other fields.
    #[error(
        "RunnerPool {name}: {message}; the CustomResourceDefinition in the cluster is of another version, or the field is misspelt: install the definition of this release (minitower-operator crd)"
    )]
    Field {
        /// The pool.
        name: String,
        /// The API server's own words.
        message: String,
    },
    /// A pool of that name belongs to somebody else.
    #[error(
        "RunnerPool {name} exists and does not belong to {owner}: give the pool another name, delete that one, or hand it over with `kubectl label runnerpool {name} {LABEL}={owner}`"
    )]
    Foreign {
        /// The pool.
        name: String,
        /// The `ConfigMap`.
        owner: String,
    },
    /// The API server does not accept the pool.
    #[error("RunnerPool {name}: {message}")]
    Refused {
        /// The pool.
        name: String,
        /// The API server's own words.
        message: String,
    },
    /// The API server cannot answer now. Another try may help.
    #[error("cannot write RunnerPool {name} now")]
    Unavailable {
        /// The pool.
        name: String,
        /// Why.
        source: CallError,
    },
    /// The pools cannot be listed.
    #[error("cannot list the RunnerPools of {owner}")]
    List {
        /// The `ConfigMap`.
        owner: String,
        /// Why.
        source: CallError,
    },
}

/// What is wrong with a document that should be a `RunnerPool`.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It is not YAML.
    #[error("it is not valid YAML")]
    Yaml(#[source] Box<serde_saphyr::Error>),
    /// It is another kind of object.
    #[error("apiVersion and kind must be {} and {}", RunnerPool::api_version(&()), RunnerPool::kind(&()))]
    Kind,
    /// It has no name.
    #[error("metadata.name is missing")]
    NoName,
    /// Another document has the same name.
    #[error("the pool {name} appears twice")]
    Twice {
        /// The name.
        name: String,
    },
}

impl PoolsError {
    /// Whether another try would meet the same answer.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Parse { .. }
            | Self::Undefined
            | Self::Field { .. }
            | Self::Foreign { .. }
            | Self::Refused { .. } => true,
            Self::ReadConfigMap { .. }
            | Self::NoUid { .. }
            | Self::Unavailable { .. }
            | Self::List { .. } => false,
        }
    }
}

/// What became of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did not exist.
    Created,
    /// It existed and has changed.
    Changed,
    /// It was already as the `ConfigMap` says.
    Unchanged,
    /// The `ConfigMap` does not contain it any more, and it was deleted.
    Removed,
}

impl Outcome {
    /// The word that a person sees.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Removed => "removed",
        }
    }
}

/// The pools of a `ConfigMap`, which owns them.
pub struct Pools {
    api: Api<DynamicObject>,
    owner: String,
    reference: OwnerReference,
    patience: Duration,
    wanted: BTreeMap<String, DynamicObject>,
}

impl Pools {
    /// Reads the `ConfigMap` of this name: each document under its keys `*.yaml` is one `RunnerPool`. `patience` is how long the API server may
    /// take to serve a definition that was created a moment ago.
    pub async fn read(
        client: Client,
        namespace: &str,
        owner: &str,
        patience: Duration,
    ) -> Result<Self, PoolsError> {
        let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let map = call_within(CALL, config_maps.get(owner))
            .await
            .map_err(|source| PoolsError::ReadConfigMap { name: owner.to_owned(), source })?;
        let reference = map.owner_ref(&()).ok_or_else(|| PoolsError::NoUid { name: owner.to_owned() })?;
        let resource = ApiResource::erase::<RunnerPool>(&());
        Ok(Self {
            api: Api::namespaced_with(client, namespace, &resource),
            owner: owner.to_owned(),
            reference,
            patience,
            wanted: parse_all(map.data.unwrap_or_default())?,
        })
    }

    /// Applies the pools, and deletes those that are gone. A pool that cannot be applied does not keep the others from it.
    pub async fn apply(self) -> Vec<Result<(String, Outcome), PoolsError>> {
        let mut outcomes = Vec::new();
        for (name, pool) in &self.wanted {
            let outcome = self.apply_one(name, pool.clone()).await;
            let undefined = matches!(outcome, Err(PoolsError::Undefined));
            outcomes.push(outcome.map(|outcome| (name.clone(), outcome)));
            if undefined {
                return outcomes;
            }
        }
        match self.remove_the_rest().await {
            Ok(removed) => outcomes.extend(removed),
            Err(error) => outcomes.push(Err(error)),
        }
        outcomes
    }

    async fn apply_one(&self, name: &str, mut pool: DynamicObject) -> Result<Outcome, PoolsError> {
        let refused = |error: kube::Error| refused(name, error);
        let patience = || patience(self.patience);
        let found =
            (|| call(self.api.get_opt(name))).retry(patience()).when(undefined).await.map_err(refused)?;
        if let Some(found) = &found
            && found.labels().get(LABEL) != Some(&self.owner)
        {
            return Err(PoolsError::Foreign { name: name.to_owned(), owner: self.owner.clone() });
        }
        pool.labels_mut().insert(LABEL.to_owned(), self.owner.clone());
        pool.owner_references_mut().push(self.reference.clone());
        // Fields that the `ConfigMap` contains are restored if somebody else changed them. `spec.replicas` stays theirs unless it is in there.
        let params = PatchParams {
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::apply(FIELD_MANAGER).force()
        };
        let patch = Patch::Apply(&pool);
        let applied = (|| call(self.api.patch(name, &params, &patch)))
            .retry(patience())
            .when(undefined)
            .await
            .map_err(refused)?;
        Ok(match found {
            None => Outcome::Created,
            Some(found) if found.resource_version() == applied.resource_version() => Outcome::Unchanged,
            Some(_) => Outcome::Changed,
        })
    }

    async fn remove_the_rest(&self) -> Result<Vec<Result<(String, Outcome), PoolsError>>, PoolsError> {
        let mut params = ListParams::default().labels(&format!("{LABEL}={}", self.owner)).limit(500);
        let mut outcomes = Vec::new();
        loop {
            let page = call(self.api.list(&params))
                .await
                .map_err(|error| PoolsError::List { owner: self.owner.clone(), source: error.into() })?;
            for pool in &page.items {
                let name = pool.name_any();
                if self.wanted.contains_key(&name) {
                    continue;
                }
                outcomes.push(match call(self.api.delete(&name, &DeleteParams::background())).await {
                    Ok(_) => Ok((name, Outcome::Removed)),
                    Err(error) => Err(refused(&name, error)),
                });
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(outcomes),
            }
        }
    }
}

fn refused(name: &str, error: kube::Error) -> PoolsError {
    match error {
        error if undefined(&error) => PoolsError::Undefined,
        kube::Error::Api(status) if status.message.contains("field not declared in schema") => {
            PoolsError::Field { name: name.to_owned(), message: status.message }
        }
        kube::Error::Api(status) if matches!(status.code, 400 | 405 | 413 | 415 | 422) => {
            PoolsError::Refused { name: name.to_owned(), message: status.message }
        }
        error => PoolsError::Unavailable { name: name.to_owned(), source: error.into() },
    }
}

/// Whether the API server does not serve the path at all: an object that does not exist is a `None`.
fn undefined(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn patience(total: Duration) -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(2))
        .with_total_delay(Some(total))
        .without_max_times()
        .with_jitter()
}

async fn call<T>(request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    match tokio::time::timeout(CALL, request).await {
        Ok(answer) => answer,
        Err(_) => Err(kube::Error::Service(format!("the API server did not answer within {CALL:?}").into())),
    }
}

fn parse_all(data: BTreeMap<String, String>) -> Result<BTreeMap<String, DynamicObject>, PoolsError> {
    let mut pools = BTreeMap::new();
    let is_yaml = |key: &str| key.rsplit_once('.').is_some_and(|(_, kind)| kind == "yaml");
    for (key, text) in data.into_iter().filter(|(key, _)| is_yaml(key)) {
        let wrong = |source| PoolsError::Parse { key: key.clone(), source };
        for pool in parse(&text).map_err(wrong)? {
            let name = pool.name_any();
            if pools.insert(name.clone(), pool).is_some() {
                return Err(wrong(ParseError::Twice { name }));
            }
        }
    }
    Ok(pools)
}

/// Reads pools without their type, so that the API server refuses a field that this program does not know, and the field is not lost.
fn parse(text: &str) -> Result<Vec<DynamicObject>, ParseError> {
    let pools: Vec<DynamicObject> =
        serde_saphyr::from_multiple(text).map_err(|error| ParseError::Yaml(Box::new(error)))?;
    pools.iter().try_for_each(check)?;
    Ok(pools)
}

fn check(pool: &DynamicObject) -> Result<(), ParseError> {
    let types = pool.types.as_ref().map(|types| (types.api_version.as_str(), types.kind.as_str()));
    let expected = (RunnerPool::api_version(&()), RunnerPool::kind(&()));
    if types != Some((expected.0.as_ref(), expected.1.as_ref())) {
        return Err(ParseError::Kind);
    }
    if pool.metadata.name.as_deref().is_none_or(str::is_empty) {
        return Err(ParseError::NoName);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use minitower_daemon::errors::chain;
    use rstest::rstest;

    use super::*;

    const POOL: &str =
        "apiVersion: minitower.dev/v1alpha1\nkind: RunnerPool\nmetadata: {name: a}\nspec: {future: 1}\n";

    #[test]
    fn a_pool_is_read_with_fields_that_nobody_knows() {
        let pools = parse(POOL).unwrap();
        let [pool] = &pools[..] else { panic!("{pools:?}") };
        assert_eq!((pool.name_any().as_str(), &pool.data["spec"]["future"]), ("a", &serde_json::json!(1)));
    }

    #[rstest]
    #[case("kind: [", "not valid YAML")]
    #[case("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "minitower.dev/v1alpha1 and RunnerPool")]
    #[case("metadata: {name: a}\n", "apiVersion and kind")]
    #[case(
        "apiVersion: minitower.dev/v1alpha1\nkind: RunnerPool\nmetadata: {}\n",
        "metadata.name is missing"
    )]
    fn what_is_no_pool_is_refused(#[case] text: &str, #[case] words: &str) {
        let reason = parse(text).unwrap_err().to_string();
        assert!(reason.contains(words), "{reason}");
    }

    #[test]
    fn many_pools_stand_under_one_key() {
        let other = POOL.replace("name: a", "name: b");
        let pools =
            parse_all([("pools.yaml".to_owned(), format!("---\n{POOL}---\n{other}"))].into()).unwrap();
        assert_eq!(pools.into_keys().collect::<Vec<_>>(), ["a", "b"]);
        let error = parse(&format!("{POOL}---\n{POOL}---\nkind: Pod\n")).unwrap_err();
        assert!(matches!(error, ParseError::Kind), "{error}");
    }

    fn map(keys: [&str; 2]) -> BTreeMap<String, String> {
        keys.map(|key| (key.to_owned(), POOL.to_owned())).into()
    }

    #[test]
    fn one_name_under_two_keys_is_refused() {
        let error = chain(&parse_all(map(["a.yaml", "b.yaml"])).unwrap_err());
        assert_eq!(error, "b.yaml does not hold valid RunnerPools: the pool a appears twice");
    }

    #[rstest]
    #[case(422, "minRunners must not be above maxRunners", true)]
    #[case(400, ".spec.future: field not declared in schema", true)]
    #[case(404, "the server could not find the requested resource", true)]
    // A role that was created a moment ago, two writers at once, a server that is busy or starting.
    #[case(403, "cannot patch resource", false)]
    #[case(409, "the object has been modified", false)]
    #[case(429, "too many requests", false)]
    #[case(500, "etcdserver: leader changed", false)]
    fn another_try_is_left_out_where_it_would_meet_the_same_answer(
        #[case] code: u16,
        #[case] message: &str,
        #[case] is_final: bool,
    ) {
        let status = kube::core::Status::failure(message, "").with_code(code);
        let error = refused("a", kube::Error::Api(Box::new(status)));
        assert_eq!(error.is_final(), is_final, "{error}");
    }

    #[test]
    fn keys_of_another_kind_are_left_alone() {
        assert_eq!(parse_all(map(["a.yaml", "notes.txt"])).unwrap().into_keys().collect::<Vec<_>>(), ["a"]);
    }
}

//! `minitower-operator pools`: makes the `RunnerPool`s of a `ConfigMap` so, and removes those that it had and has no longer.
//!
//! A Helm chart that brings the definition of a resource cannot bring objects of it: Helm asks the API server for every kind before it
//! creates anything (<https://helm.sh/docs/chart_best_practices/custom_resource_definitions/>). The chart keeps its pools in a `ConfigMap`
//! and calls this from a hook. It is read from the API server: a volume may show what was in it before the upgrade. The pools belong to that `ConfigMap`: when the release goes, garbage collection takes them, and nothing has to run for it.

use std::collections::BTreeMap;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, ValidationDirective,
};
use kube::{Api, Client, Resource as _, ResourceExt as _};

use crate::crd::RunnerPool;

/// The label of a pool that a `ConfigMap` has, with the `ConfigMap`'s name.
pub const LABEL: &str = "minitower.dev/pools-of";
/// What the API server notes as the writer of the fields.
const FIELD_MANAGER: &str = "minitower-pools";
/// Longest a call may take.
const CALL: Duration = Duration::from_secs(10);

/// Why the pools are not what the `ConfigMap` says; each names one thing.
#[derive(Debug, thiserror::Error)]
pub enum PoolsError {
    /// A key of it that is no `RunnerPool`.
    #[error("{0} is no RunnerPool: {1}")]
    Parse(String, String),
    /// The `ConfigMap` that the pools belong to.
    #[error("ConfigMap {0} cannot be read: {1}")]
    Owner(String, String),
    /// The cluster does not know the resource in this operator's version.
    #[error(
        "the cluster does not serve RunnerPool {version}, which this release speaks: install its CustomResourceDefinition (crds.enabled=true, or kubectl apply the output of minitower-operator crd)",
        version = RunnerPool::api_version(&())
    )]
    Undefined,
    /// The definition in the cluster knows other fields.
    #[error(
        "RunnerPool {0}: {1}; the CustomResourceDefinition in the cluster is of another version, or the field is misspelt: install that of this release (minitower-operator crd)"
    )]
    Field(String, String),
    /// A pool of that name is somebody else's.
    #[error(
        "RunnerPool {name} exists and is not of {owner}: give the pool another name, delete that one, or hand it over with `kubectl label runnerpool {name} {LABEL}={owner}`"
    )]
    Foreign {
        /// The pool.
        name: String,
        /// The `ConfigMap`.
        owner: String,
    },
    /// What the API server says of it.
    #[error("RunnerPool {0}: {1}")]
    Refused(String, String),
    /// An API server that cannot answer now.
    #[error("RunnerPool {0}: {1}; another try may help")]
    Unavailable(String, String),
    /// Pools that could not be listed.
    #[error("the RunnerPools of {0} cannot be listed: {1}")]
    List(String, String),
}

impl PoolsError {
    /// Whether another try would meet the same answer.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Parse(..)
            | Self::Undefined
            | Self::Field(..)
            | Self::Foreign { .. }
            | Self::Refused(..) => true,
            Self::Owner(..) | Self::Unavailable(..) | Self::List(..) => false,
        }
    }
}

/// What became of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there.
    Created,
    /// It was there, and is otherwise now.
    Changed,
    /// It was as the `ConfigMap` says.
    Unchanged,
    /// The `ConfigMap` does not have it any more.
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

/// The pools of a `ConfigMap`, which they belong to.
pub struct Pools {
    api: Api<DynamicObject>,
    owner: String,
    reference: OwnerReference,
    patience: Duration,
    wanted: BTreeMap<String, DynamicObject>,
}

impl Pools {
    /// Reads the `ConfigMap` of this name: each document under its keys `*.yaml` is one `RunnerPool`. `patience` is how long a definition that was made a moment
    /// ago may take until it is served.
    pub async fn read(
        client: Client,
        namespace: &str,
        owner: &str,
        patience: Duration,
    ) -> Result<Self, PoolsError> {
        let wrong = |error: String| PoolsError::Owner(owner.to_owned(), error);
        let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let map = call(config_maps.get(owner)).await.map_err(|error| wrong(error.to_string()))?;
        let reference = map.owner_ref(&()).ok_or_else(|| wrong("it has no uid".to_owned()))?;
        let resource = ApiResource::erase::<RunnerPool>(&());
        Ok(Self {
            api: Api::namespaced_with(client, namespace, &resource),
            owner: owner.to_owned(),
            reference,
            patience,
            wanted: parse_all(map.data.unwrap_or_default())?,
        })
    }

    /// Makes it so. One pool that cannot be does not keep the others from it.
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
        let refused = |error: kube::Error| refused(name, &error);
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
        // What somebody else wrote into a field that the `ConfigMap` names is put right; `spec.replicas` stays theirs unless it is named there.
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
                .map_err(|error| PoolsError::List(self.owner.clone(), error.to_string()))?;
            for pool in &page.items {
                let name = pool.name_any();
                if self.wanted.contains_key(&name) {
                    continue;
                }
                outcomes.push(match call(self.api.delete(&name, &DeleteParams::background())).await {
                    Ok(_) => Ok((name, Outcome::Removed)),
                    Err(error) => Err(refused(&name, &error)),
                });
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(outcomes),
            }
        }
    }
}

fn refused(name: &str, error: &kube::Error) -> PoolsError {
    match error {
        error if undefined(error) => PoolsError::Undefined,
        kube::Error::Api(status) if status.message.contains("field not declared in schema") => {
            PoolsError::Field(name.to_owned(), status.message.clone())
        }
        kube::Error::Api(status) if matches!(status.code, 400 | 405 | 413 | 415 | 422) => {
            PoolsError::Refused(name.to_owned(), status.message.clone())
        }
        kube::Error::Api(status) => PoolsError::Unavailable(name.to_owned(), status.message.clone()),
        error => PoolsError::Unavailable(name.to_owned(), error.to_string()),
    }
}

/// A path that the API server does not serve at all; an object that is not there is a `None`.
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
        let wrong = |reason| PoolsError::Parse(key.clone(), reason);
        for pool in parse(&text).map_err(wrong)? {
            let name = pool.name_any();
            if pools.insert(name.clone(), pool).is_some() {
                return Err(wrong(format!("the pool {name} is there twice")));
            }
        }
    }
    Ok(pools)
}

/// Untyped, so that a field this program does not know is refused by the API server and not lost.
fn parse(text: &str) -> Result<Vec<DynamicObject>, String> {
    let pools: Vec<DynamicObject> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    pools.iter().try_for_each(check)?;
    Ok(pools)
}

fn check(pool: &DynamicObject) -> Result<(), String> {
    let types = pool.types.as_ref().map(|types| (types.api_version.as_str(), types.kind.as_str()));
    let expected = (RunnerPool::api_version(&()), RunnerPool::kind(&()));
    if types != Some((expected.0.as_ref(), expected.1.as_ref())) {
        return Err(format!("apiVersion and kind must be {} and {}", expected.0, expected.1));
    }
    if pool.metadata.name.as_deref().is_none_or(str::is_empty) {
        return Err("metadata.name is missing".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
    #[case("kind: [", "")]
    #[case("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "minitower.dev/v1alpha1 and RunnerPool")]
    #[case("metadata: {name: a}\n", "apiVersion and kind")]
    #[case(
        "apiVersion: minitower.dev/v1alpha1\nkind: RunnerPool\nmetadata: {}\n",
        "metadata.name is missing"
    )]
    fn what_is_no_pool_is_refused(#[case] text: &str, #[case] words: &str) {
        let reason = parse(text).unwrap_err();
        assert!(reason.contains(words), "{reason}");
    }

    #[test]
    fn many_pools_stand_under_one_key() {
        let other = POOL.replace("name: a", "name: b");
        let pools =
            parse_all([("pools.yaml".to_owned(), format!("---\n{POOL}---\n{other}"))].into()).unwrap();
        assert_eq!(pools.into_keys().collect::<Vec<_>>(), ["a", "b"]);
        let error = parse(&format!("{POOL}---\n{POOL}---\nkind: Pod\n")).unwrap_err();
        assert!(error.contains("minitower.dev/v1alpha1 and RunnerPool"), "{error}");
    }

    fn map(keys: [&str; 2]) -> BTreeMap<String, String> {
        keys.map(|key| (key.to_owned(), POOL.to_owned())).into()
    }

    #[test]
    fn one_name_under_two_keys_is_refused() {
        let error = parse_all(map(["a.yaml", "b.yaml"])).unwrap_err().to_string();
        assert!(error.contains("the pool a is there twice"), "{error}");
    }

    #[rstest]
    #[case(422, "minRunners must not be above maxRunners", true)]
    #[case(400, ".spec.future: field not declared in schema", true)]
    #[case(404, "the server could not find the requested resource", true)]
    // A role that was made a moment ago, two writers at once, a server that is busy or starts.
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
        let error = refused("a", &kube::Error::Api(Box::new(status)));
        assert_eq!(error.is_final(), is_final, "{error}");
    }

    #[test]
    fn keys_of_another_kind_are_left_alone() {
        assert_eq!(parse_all(map(["a.yaml", "notes.txt"])).unwrap().into_keys().collect::<Vec<_>>(), ["a"]);
    }
}

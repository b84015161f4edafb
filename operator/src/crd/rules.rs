//! The rules that bounds and patterns cannot express, in CEL, each with the message for a person who breaks it.
//!
//! The API server estimates the cost of each rule before it accepts the definition: whatever a rule iterates over needs a bound on its size. See
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules>.

use serde_json::{Value, json};

/// A rule of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The expression that is true for a valid object.
    pub holds: &'static str,
    /// The message for an object that is not valid. The API server puts the path of the field before it.
    pub message: &'static str,
    /// The field that is at fault, relative to where the rule stands.
    pub field: Option<&'static str>,
    /// The kind of fault: `FieldValueInvalid`, `FieldValueForbidden` or `FieldValueRequired`.
    pub reason: &'static str,
}

impl Rule {
    const fn new(holds: &'static str, message: &'static str) -> Self {
        Self { holds, message, field: None, reason: "FieldValueInvalid" }
    }

    const fn at(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    const fn forbidden(mut self) -> Self {
        self.reason = "FieldValueForbidden";
        self
    }

    const fn required(mut self) -> Self {
        self.reason = "FieldValueRequired";
        self
    }
}

/// Rules as a schema's `x-kubernetes-validations`.
pub(super) fn schema(rules: &[Rule]) -> Value {
    let one = |rule: &Rule| {
        let mut value = json!({ "rule": rule.holds, "message": rule.message, "reason": rule.reason });
        if let Some(field) = rule.field {
            value["fieldPath"] = field.into();
        }
        value
    };
    rules.iter().map(one).collect()
}

/// Every rule there is.
pub fn all() -> Vec<Rule> {
    let groups: [&[Rule]; 15] = [
        &ROOT,
        &SPEC,
        &SECRET,
        &SERVER,
        &URL,
        &ENV,
        &RESOURCES,
        &QUANTITY,
        &CACHE,
        &SIZE,
        &MOUNT,
        &TEMPLATE,
        &LABELS,
        &ANNOTATIONS,
        &VOLUME,
    ];
    groups.concat()
}

/// On the object: the pool's name, at most [`super::bounds::MAX_NAME_LENGTH`] characters.
pub(super) const ROOT: [Rule; 3] = [
    Rule::new(
        "size(self.metadata.name) <= 50",
        "metadata.name must have at most 50 characters: the names of the pool's pods and the values of their labels are made from it",
    ),
    Rule::new(
        "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must be a DNS label: a-z, 0-9 and '-', the first and the last a letter or digit",
    ),
    Rule::new(
        "!has(self.spec.secretRef) || self.spec.secretRef.name != self.metadata.name + '-registration'",
        "spec.secretRef must not name the Secret with the pool's registration token: jobs would get it",
    )
    .at(".spec.secretRef.name")
    .forbidden(),
];

/// On `spec.secretRef`. The same names are reserved in Towerfiles; a run refuses what cannot be said here.
pub(super) const SECRET: [Rule; 1] = [Rule::new(
    "!has(self.keys) || self.keys.all(k, !k.startsWith('MINITOWER_') && !k.startsWith('LD_') && !k.startsWith('PYTHON') && \
     !(k in ['PATH', 'HOME', 'SHELL', 'TMPDIR']))",
    "spec.secretRef.keys: names that begin with MINITOWER_, LD_ or PYTHON, and PATH, HOME, SHELL and TMPDIR, belong to the runner or change \
     how programs are loaded",
)
.at(".keys")
.forbidden()];

/// On `spec`.
pub(super) const SPEC: [Rule; 5] = [
    Rule::new(
        "!has(self.server.url) || has(self.operatorTokenSecretRef)",
        "spec.operatorTokenSecretRef is required with spec.server.url: the operator's own token is never sent to a host that a pool names",
    )
    .at(".operatorTokenSecretRef")
    .required(),
    Rule::new(
        "self.minRunners <= self.maxRunners",
        "spec.minRunners must not be greater than spec.maxRunners",
    )
    .at(".minRunners"),
    Rule::new("self.minIdle <= self.maxRunners", "spec.minIdle must not be greater than spec.maxRunners")
        .at(".minIdle"),
    Rule::new(
        "!has(self.runner.volumeMounts) || self.runner.volumeMounts.all(m, has(self.template) && \
         has(self.template.volumes) && self.template.volumes.exists(v, v.name == m.name))",
        "each of spec.runner.volumeMounts must name one of spec.template.volumes",
    )
    .at(".runner.volumeMounts"),
    Rule::new(
        "!has(self.secretRef) || (!has(self.registrationTokenSecretRef) || self.registrationTokenSecretRef.name != self.secretRef.name) && \
         (!has(self.operatorTokenSecretRef) || self.operatorTokenSecretRef.name != self.secretRef.name)",
        "spec.secretRef must name another Secret than registrationTokenSecretRef and operatorTokenSecretRef: jobs would get these tokens",
    )
    .at(".secretRef.name")
    .forbidden(),
];

/// On `spec.server`.
pub(super) const SERVER: [Rule; 1] = [Rule::new(
    "has(self.url) != has(self.serviceRef)",
    "spec.server takes exactly one of url and serviceRef",
)];

/// On `spec.server.url`.
pub(super) const URL: [Rule; 1] = [Rule::new(
    r"self.matches('^https?://[^/?#@\\s]+(/[^?#\\s]*)?$') && isURL(self)",
    "must be http:// or https:// and a host, without credentials, query and fragment",
)];

/// On each of `spec.runner.env`.
pub(super) const ENV: [Rule; 1] = [Rule::new(
    "!self.name.startsWith('MINITOWER_') || self.name.startsWith('MINITOWER_JOB_') || self.name in [\
     'MINITOWER_RUN_ENV_PASS', 'MINITOWER_LOG', 'MINITOWER_LOG_FORMAT', 'MINITOWER_KILL_GRACE_PERIOD', \
     'MINITOWER_POLL_INTERVAL', 'MINITOWER_CA_FILE', 'MINITOWER_SANDBOX', 'MINITOWER_UV', 'MINITOWER_ENV_MAX_AGE', \
     'MINITOWER_PYTHON_DOWNLOADS']",
    "names that begin with MINITOWER_ are the operator's; only MINITOWER_RUN_ENV_PASS, MINITOWER_LOG, MINITOWER_LOG_FORMAT, \
     MINITOWER_KILL_GRACE_PERIOD, MINITOWER_POLL_INTERVAL, MINITOWER_CA_FILE, MINITOWER_SANDBOX, MINITOWER_UV, \
     MINITOWER_ENV_MAX_AGE, MINITOWER_PYTHON_DOWNLOADS and MINITOWER_JOB_* may be set",
)
.at(".name")
.forbidden()];

/// On `spec.runner.resources`. [`QUANTITY`] refuses what is not a quantity. Any other resource must have a request equal to its limit, which
/// the API server checks.
pub(super) const RESOURCES: [Rule; 1] = [Rule::new(
    "!has(self.requests) || !has(self.limits) || ['cpu', 'memory', 'ephemeral-storage'].all(k, \
     !(k in self.requests) || !(k in self.limits) || \
     !isQuantity(string(self.requests[k])) || !isQuantity(string(self.limits[k])) || \
     !quantity(string(self.requests[k])).isGreaterThan(quantity(string(self.limits[k]))))",
    "each of spec.runner.resources.requests must not be greater than its limit",
)
.at(".requests")];

/// On each of `spec.runner.resources.requests` and `limits`.
pub(super) const QUANTITY: [Rule; 1] = [Rule::new(
    "type(self) == int ? self >= 0 : isQuantity(self) && !self.startsWith('-')",
    "must be a quantity, such as 500m of cpu or 512Mi of memory, and not negative",
)];

/// On `spec.runner.cache`.
pub(super) const CACHE: [Rule; 1] = [Rule::new(
    "has(self.emptyDir) != has(self.ephemeral)",
    "spec.runner.cache takes exactly one of emptyDir and ephemeral",
)];

/// On the sizes in `spec.runner.cache`.
pub(super) const SIZE: [Rule; 1] = [Rule::new(
    "isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))",
    "must be a quantity greater than 0, such as 20Gi",
)];

/// On each of `spec.runner.volumeMounts`.
pub(super) const MOUNT: [Rule; 2] = [
    Rule::new(
        r"self.mountPath.matches('^(/[^/:]+)+/?$') && !self.mountPath.matches('/[.][.]?(/|$)')",
        "must be a path such as /etc/settings: from the root, not the root itself, without ':', '//', '.' and '..'",
    )
    .at(".mountPath"),
    Rule::new(
        "!(self.mountPath + '/').startsWith('/var/lib/minitower/') && \
         !(self.mountPath + '/').startsWith('/etc/minitower/registration/') && \
         !(self.mountPath + '/').startsWith('/etc/minitower/secrets/') && self.mountPath != '/tmp' && self.mountPath != '/tmp/'",
        "/var/lib/minitower, /etc/minitower/registration, /etc/minitower/secrets and what is below them, and /tmp, are the runner's own",
    )
    .at(".mountPath")
    .forbidden(),
];

/// On `spec.template`.
pub(super) const TEMPLATE: [Rule; 2] = [
    Rule::new(
        "!has(self.hostPID) || !self.hostPID",
        "spec.template.hostPID must not be true: jobs would see the processes of the node",
    )
    .at(".hostPID")
    .forbidden(),
    Rule::new(
        "!has(self.shareProcessNamespace) || !self.shareProcessNamespace",
        "spec.template.shareProcessNamespace must not be true: jobs would see the processes of the pod's other containers",
    )
    .at(".shareProcessNamespace")
    .forbidden(),
];

/// On the keys of labels, annotations and the like.
pub(super) const KEYS: Rule = Rule::new(
    "self.all(k, size(k) <= 317 && k.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
    "each key must be a name of at most 63 letters, digits, '-', '_' and '.', or a DNS name, '/' and such a name",
);

/// On `spec.template.labels`.
pub(super) const LABELS: [Rule; 2] = [
    Rule::new(
        "self.all(k, !k.startsWith('minitower.dev/') && !(k in ['app.kubernetes.io/name', 'app.kubernetes.io/managed-by']))",
        "minitower.dev/..., app.kubernetes.io/name and app.kubernetes.io/managed-by are the operator's",
    )
    .forbidden(),
    KEYS,
];

/// On `spec.template.annotations`. A deletion cost set here would mark every pod as one that may go.
pub(super) const ANNOTATIONS: [Rule; 2] = [
    Rule::new(
        "self.all(k, !k.startsWith('minitower.dev/') && !(k in ['app.kubernetes.io/name', 'app.kubernetes.io/managed-by', \
         'controller.kubernetes.io/pod-deletion-cost']))",
        "minitower.dev/..., app.kubernetes.io/name, app.kubernetes.io/managed-by and controller.kubernetes.io/pod-deletion-cost are the \
         operator's",
    )
    .forbidden(),
    KEYS,
];

/// On each of `spec.template.volumes`.
pub(super) const VOLUME: [Rule; 1] = [Rule::new(
    "!(self.name in ['data', 'tmp', 'registration-token', 'run-secrets'])",
    "the names data, tmp, registration-token and run-secrets are taken by the pod's own volumes",
)
.at(".name")
.forbidden()];

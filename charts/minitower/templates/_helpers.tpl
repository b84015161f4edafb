{{- define "minitower.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* The release's name where it says minitower already, else both. Short enough for what is appended. */ -}}
{{- define "minitower.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "minitower.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "minitower.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "minitower.operatorName" -}}
{{- include "minitower.fullname" . }}-operator
{{- end -}}

{{- define "minitower.poolsName" -}}
{{- include "minitower.fullname" . }}-pools
{{- end -}}

{{- /* What never changes: a Deployment's selector cannot. Called with (list . "component"). */ -}}
{{- define "minitower.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- end -}}

{{- define "minitower.labels" -}}
{{- $root := index . 0 -}}
{{ include "minitower.selector" . }}
app.kubernetes.io/part-of: minitower
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Of pods: nothing that changes with each version of the chart, which would restart them. */ -}}
{{- define "minitower.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "minitower.selector" . }}
app.kubernetes.io/part-of: minitower
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Called with (list . image). */ -}}
{{- define "minitower.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $name := printf "%s/%s" (default $root.Values.image.registry $image.registry) $image.repository -}}
{{- if $image.digest -}}
{{ $name }}@{{ $image.digest }}
{{- else -}}
{{ $name }}:{{ $image.tag | default $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "minitower.secretName" -}}
{{- default (include "minitower.fullname" .) .Values.secrets.existingSecret -}}
{{- end -}}

{{- define "minitower.claimName" -}}
{{- default (include "minitower.fullname" .) .Values.controlPlane.persistence.existingClaim -}}
{{- end -}}

{{- define "minitower.serviceAccount" -}}
{{- default (include "minitower.fullname" .) .Values.controlPlane.serviceAccount.name -}}
{{- end -}}

{{- define "minitower.operatorServiceAccount" -}}
{{- default (include "minitower.operatorName" .) .Values.operator.serviceAccount.name -}}
{{- end -}}

{{- define "minitower.url" -}}
http://{{ include "minitower.fullname" . }}.{{ .Release.Namespace }}:{{ .Values.controlPlane.service.port }}
{{- end -}}

{{- /* Whether there is a pool: a name whose value is null is none. */ -}}
{{- define "minitower.hasPools" -}}
{{- range $name, $spec := .Values.runnerPools -}}
{{- if not (kindIs "invalid" $spec) -}}yes{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What Ingress and HTTPRoute lead to, as prefixes: the API by its parts, so that bootstrap is not among them; no /metrics. */ -}}
{{- define "minitower.paths" -}}
{{- range list "admin" "apps" "audit" "auth" "environments" "limits" "me" "notifications" "registration-tokens" "retention" "runners" "runs" "teams" "tokens" }}
- /api/v1/{{ . }}
{{- end }}
- /api/docs
- /api/openapi.json
{{- if .Values.expose.bootstrap }}
- /api/v1/bootstrap
{{- end }}
{{- if .Values.expose.metrics }}
- /metrics
{{- end }}
{{- end -}}

{{- /* Where pods come from and go. Called with (list . values of the component). */ -}}
{{- define "minitower.scheduling" -}}
{{- $self := index . 1 -}}
enableServiceLinks: false
{{- with (index . 0).Values.image.pullSecrets }}
imagePullSecrets:
{{ toYaml . }}
{{- end }}
{{- with $self.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $self.tolerations }}
tolerations:
{{ toYaml . }}
{{- end }}
{{- with $self.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Names, labels and ports. */}}

{{- define "wampha.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" (.Release.Name | trunc 33 | trimSuffix "-") .Chart.Name -}}
{{- end -}}
{{- end -}}

{{- define "wampha.selector" -}}
app.kubernetes.io/name: wampha
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "wampha.labels" -}}
{{ include "wampha.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Nodes of both kinds, and not the pod of `helm test`. */}}
{{- define "wampha.nodes" -}}
{{ include "wampha.selector" . }}
wampha/node: "true"
{{- end -}}

{{- define "wampha.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "wampha.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "wampha.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{- define "wampha.peersDomain" -}}
{{ include "wampha.fullname" . }}-peers.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end -}}

{{- define "wampha.peersPort" -}}8071{{- end -}}
{{- define "wampha.monitoringPort" -}}9180{{- end -}}

{{/* The endpoint of a port: (dict "root" $ "port" n). */}}
{{- define "wampha.endpoint" -}}
{{- if .root.Values.ipv6 -}}
tcp6:{{ int .port }}:interface=\:\:
{{- else -}}
tcp:{{ int .port }}
{{- end -}}
{{- end -}}

{{/* Whether a listener is there, and whether it is encrypted: (dict "root" $ "listener" l); "true" or nothing. */}}
{{- define "wampha.isThere" -}}
{{- if or (not (hasKey .listener "enabled")) .listener.enabled }}true{{ end -}}
{{- end -}}
{{- define "wampha.isEncrypted" -}}
{{- if hasKey .listener "tls" }}{{ if .listener.tls }}true{{ end }}{{ else if .root.Values.tls.enabled }}true{{ end -}}
{{- end -}}

{{- define "wampha.anyEncrypted" -}}
{{- range $_, $listener := .Values.listeners }}
{{- $at := dict "root" $ "listener" $listener }}
{{- if and (include "wampha.isThere" $at) (include "wampha.isEncrypted" $at) }}true{{ end }}
{{- end -}}
{{- end -}}

{{- define "wampha.tlsSecret" -}}
{{ .Values.tls.existingSecret | default (printf "%s-tls" (include "wampha.fullname" .)) }}
{{- end -}}
{{- define "wampha.peerTlsSecret" -}}
{{ .Values.peerTls.existingSecret | default (printf "%s-peer-tls" (include "wampha.fullname" .)) }}
{{- end -}}
{{- define "wampha.clusterSecret" -}}
{{ .Values.clusterSecret.existingSecret | default (printf "%s-cluster" (include "wampha.fullname" .)) }}
{{- end -}}

{{/* Where each node's pair is: one of its own, or one for all. */}}
{{- define "wampha.peerTlsPair" -}}
{{- if or .Values.peerTls.certManager.enabled (and .Values.peerTls.existingSecret (not .Values.peerTls.perNode)) -}}
tls
{{- else -}}
$(POD_NAME)
{{- end -}}
{{- end -}}

{{/* How many observers there can be. */}}
{{- define "wampha.observersMax" -}}
{{- if .Values.observers.autoscaling.enabled -}}
{{ int .Values.observers.autoscaling.maxReplicas }}
{{- else -}}
{{ int .Values.observers.replicas }}
{{- end -}}
{{- end -}}

{{/* The names of all nodes, separated by spaces. */}}
{{- define "wampha.nodeNames" -}}
{{- $full := include "wampha.fullname" . -}}
{{- $names := list -}}
{{- range until (int .Values.voters.replicas) }}{{ $names = append $names (printf "%s-%d" $full .) }}{{ end -}}
{{- range until (int (include "wampha.observersMax" .)) }}{{ $names = append $names (printf "%s-observer-%d" $full .) }}{{ end -}}
{{ join " " $names }}
{{- end -}}

{{/* Seconds that a pod has from the wish that it stops to SIGKILL: to be forgotten by the service, to drain, and 5 more. */}}
{{- define "wampha.graceSeconds" -}}
{{- $drain := dig "node" "drain" (dict) .Values.config -}}
{{- add (int .Values.preStopSeconds) (ceil (float64 (get $drain "deadline_s" | default 25))) 5 -}}
{{- end -}}

{{/* What alerts and dashboard go by: `job` is the release, `instance` the node. */}}
{{- define "wampha.job" -}}
{{ .Release.Namespace }}/{{ include "wampha.fullname" . }}
{{- end -}}
{{- define "wampha.relabelings" -}}
- {targetLabel: job, replacement: {{ include "wampha.job" . }}}
- {sourceLabels: [__meta_kubernetes_pod_name], targetLabel: instance}
{{- end -}}

{{/* The pod of a node: (dict "root" $ "role" "voter" "of" .Values.voters). */}}
{{- define "wampha.pod" -}}
{{- $root := .root -}}
{{- with .root -}}
metadata:
  labels:
    {{- include "wampha.selector" . | nindent 4 }}
    app.kubernetes.io/component: {{ $.role }}
    wampha/node: "true"
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Of what holds until a node ends; the rest reaches running nodes, which look at their files.
    checksum/config: {{ include "wampha.fixed" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "wampha.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "wampha.graceSeconds" . }}
  {{- with .Values.podSecurityContext }}
  securityContext: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- include "wampha.places" $ | nindent 2 }}
  containers:
    - name: wampha
      image: {{ include "wampha.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [-c, /etc/wampha/config.yaml]
      env: {{- include "wampha.environment" . | nindent 8 }}
      ports:
        - {name: peers, containerPort: {{ include "wampha.peersPort" . }}}
        - {name: monitoring, containerPort: {{ include "wampha.monitoringPort" . }}}
        {{- range $name, $listener := .Values.listeners }}
        {{- if include "wampha.isThere" (dict "root" $root "listener" $listener) }}
        - {name: {{ $name }}, containerPort: {{ int $listener.port }}}
        {{- end }}
        {{- end }}
      startupProbe:
        httpGet: {path: /startupz, port: monitoring}
        {{- toYaml .Values.probes.startup | nindent 8 }}
      readinessProbe:
        httpGet: {path: /readyz, port: monitoring}
        {{- toYaml .Values.probes.readiness | nindent 8 }}
      livenessProbe:
        httpGet: {path: /livez, port: monitoring}
        {{- toYaml .Values.probes.liveness | nindent 8 }}
      {{- if .Values.preStopSeconds }}
      # Services forget the pod first; then SIGTERM drains it.
      lifecycle: {preStop: {sleep: {seconds: {{ int .Values.preStopSeconds }}}}}
      {{- end }}
      {{- with $.of.resources }}
      resources: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.securityContext }}
      securityContext: {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts: {{- include "wampha.mounts" . | nindent 8 }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes: {{- include "wampha.volumes" . | nindent 4 }}
{{- end }}
{{- end -}}

{{- define "wampha.environment" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
# Kubernetes puts the variables above into those below, so that one configuration fits every node.
- name: WAMPHA_ADVERTISE
  value: $(POD_NAME).{{ include "wampha.peersDomain" . }}:{{ include "wampha.peersPort" . }}
{{- if .Values.peerTls.enabled }}
- name: WAMPHA_PEER_CERTIFICATE
  value: /etc/wampha-tls/peers/{{ include "wampha.peerTlsPair" . }}.crt
- name: WAMPHA_PEER_KEY
  value: /etc/wampha-tls/peers/{{ include "wampha.peerTlsPair" . }}.key
{{- end }}
{{- if or (not .Values.peerTls.enabled) .Values.clusterSecret.existingSecret }}
- name: WAMPHA_CLUSTER_SECRET
  valueFrom: {secretKeyRef: {name: {{ include "wampha.clusterSecret" . }}, key: {{ .Values.clusterSecret.key }}}}
{{- end }}
{{- include "wampha.secretEnvironment" .Values.secrets.env }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "wampha.secretEnvironment" -}}
{{- range $name, $from := . }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $from.secret }}, key: {{ $from.key }}}}
{{- end }}
{{- end -}}

{{- define "wampha.mounts" -}}
- {name: config, mountPath: /etc/wampha, readOnly: true}
- {name: run, mountPath: /run/wampha}
{{- if .Values.peerTls.enabled }}
- {name: peer-tls, mountPath: /etc/wampha-tls/peers, readOnly: true}
{{- end }}
{{- if include "wampha.anyEncrypted" . }}
- {name: tls, mountPath: /etc/wampha-tls/clients, readOnly: true}
{{- end }}
{{- range $name, $_ := .Values.secrets.files }}
- {name: secret-{{ $name }}, mountPath: /etc/wampha-secrets/{{ $name }}, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "wampha.volumes" -}}
- name: config
  configMap: {name: {{ include "wampha.fullname" . }}}
# A restarted container proves by a file here that its former process is dead; the admin socket is here too.
- name: run
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- if .Values.peerTls.enabled }}
- name: peer-tls
  secret: {secretName: {{ include "wampha.peerTlsSecret" . }}, defaultMode: 0440}
{{- end }}
{{- if include "wampha.anyEncrypted" . }}
- name: tls
  secret: {secretName: {{ include "wampha.tlsSecret" . }}, defaultMode: 0440}
{{- end }}
{{- range $name, $secret := .Values.secrets.files }}
- name: secret-{{ $name }}
  secret: {secretName: {{ $secret }}, defaultMode: 0440}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* On which machines: (dict "root" $ "role" "voter"). */}}
{{- define "wampha.places" -}}
{{- $alike := printf "%s\napp.kubernetes.io/component: %s" (include "wampha.selector" .root) .role -}}
{{- with .root.Values -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .affinity }}
affinity: {{- toYaml .affinity | nindent 2 }}
{{- else if eq .antiAffinity "hard" }}
affinity:
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{- $alike | nindent 12 }}
{{- else if eq .antiAffinity "soft" }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{- $alike | nindent 14 }}
{{- end }}
{{- if or .topologySpread.zone .topologySpread.host }}
topologySpreadConstraints:
  {{- range $key, $what := dict "topology.kubernetes.io/zone" .topologySpread.zone "kubernetes.io/hostname" .topologySpread.host }}
  {{- if $what }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ $what }}
    labelSelector:
      matchLabels: {{- $alike | nindent 8 }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end -}}
{{- end -}}

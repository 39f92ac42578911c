{{/* wampha's configuration, the same for all nodes: what the values say, and what only the chart knows. */}}
{{- define "wampha.config" -}}
{{- $full := include "wampha.fullname" . -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "node" (merge (dict "name" (dict "env" "POD_NAME") "run_dir" "/run/wampha" "watch_files_s" 10) ($config.node | default dict)) -}}
{{- $_ := set $config "monitoring" (dict "endpoint" (include "wampha.endpoint" (dict "root" . "port" (include "wampha.monitoringPort" .)))) -}}
{{- $_ := set $config "cluster" (merge (include "wampha.cluster" . | fromYaml) ($config.cluster | default dict)) -}}
{{- $listeners := list -}}
{{- range $name, $listener := .Values.listeners -}}
{{- $at := dict "root" $ "listener" $listener -}}
{{- if include "wampha.isThere" $at -}}
{{- $made := omit $listener "enabled" "port" "tls" "nodePort" -}}
{{- $_ := set $made "endpoint" (include "wampha.endpoint" (dict "root" $ "port" $listener.port)) -}}
{{- if include "wampha.isEncrypted" $at -}}
{{- $_ := set $made "tls" (include "wampha.listenerTls" $ | fromYaml) -}}
{{- end -}}
{{- $listeners = append $listeners $made -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config "listeners" $listeners -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "wampha.cluster" -}}
{{- $full := include "wampha.fullname" . -}}
{{- $port := include "wampha.peersPort" . -}}
name: {{ $full }}
listen: {{ include "wampha.endpoint" (dict "root" . "port" $port) | squote }}
advertise: {env: WAMPHA_ADVERTISE}
voters:
{{- range until (int .Values.voters.replicas) }}
  - name: {{ $full }}-{{ . }}
    address: {{ $full }}-{{ . }}.{{ include "wampha.peersDomain" $ }}:{{ $port }}
{{- end }}
{{- if .Values.peerTls.enabled }}
tls:
  certificate: {env: WAMPHA_PEER_CERTIFICATE}
  key: {env: WAMPHA_PEER_KEY}
  ca: /etc/wampha-tls/peers/ca.crt
{{- end }}
{{- if or (not .Values.peerTls.enabled) .Values.clusterSecret.existingSecret }}
secret: {env: WAMPHA_CLUSTER_SECRET}
{{- end }}
{{- end -}}

{{- define "wampha.listenerTls" -}}
certificate: /etc/wampha-tls/clients/tls.crt
key: /etc/wampha-tls/clients/tls.key
minimum_version: {{ .Values.tls.minimumVersion | quote }}
{{- if ne .Values.tls.clientCertificates "none" }}
client_ca: /etc/wampha-tls/clients/ca.crt
client_certificate: {{ .Values.tls.clientCertificates }}
{{- end }}
{{- end -}}

{{/* What of the configuration holds from the start of a node to its end; a running node takes over the rest. */}}
{{- define "wampha.fixed" -}}
{{- $live := .Files.Get "files/live.yaml" | fromYamlArray -}}
{{- include "wampha.fixedBelow" (dict "value" (include "wampha.config" . | fromYaml) "path" "" "live" $live) -}}
{{- end -}}

{{/* A value without what is live in it, as JSON with the key "v": (dict "value" v "path" "/listeners/*" "live" paths). */}}
{{- define "wampha.fixedBelow" -}}
{{- $live := .live -}}
{{- $path := .path -}}
{{- $kept := .value -}}
{{- if kindIs "map" .value -}}
{{- $kept = dict -}}
{{- range $key, $one := .value -}}
{{- $at := printf "%s/%s" $path $key -}}
{{- if not (or (has $at $live) (has (printf "%s/*" $path) $live)) -}}
{{- $_ := set $kept $key (include "wampha.fixedBelow" (dict "value" $one "path" $at "live" $live) | fromJson).v -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- $kept = list -}}
{{- range $one := .value -}}
{{- $at := printf "%s/*" $path -}}
{{- $kept = append $kept (include "wampha.fixedBelow" (dict "value" $one "path" $at "live" $live) | fromJson).v -}}
{{- end -}}
{{- end -}}
{{- dict "v" $kept | toJson -}}
{{- end -}}

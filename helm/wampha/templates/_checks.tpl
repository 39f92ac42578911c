{{/* What the schema cannot see; each is refused with what to do instead. */}}
{{- define "wampha.checks" -}}
{{- include "wampha.checkPorts" . -}}
{{- include "wampha.checkVoters" . -}}
{{- include "wampha.checkTls" . -}}
{{- include "wampha.checkRoles" . -}}
{{- include "wampha.checkSecrets" . -}}
{{- range $key, $listener := dict "ingress" (and .Values.ingress.enabled .Values.ingress.listener) "httpRoute" (and .Values.httpRoute.enabled .Values.httpRoute.listener) "test" .Values.test.listener -}}
{{- if and $listener (not (hasKey $.Values.listeners $listener)) -}}
{{- fail (printf "%s.listener is %q, but listeners has only: %s" $key $listener (keys $.Values.listeners | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- $deadline := dig "node" "drain" "deadline_s" 25 .Values.config -}}
{{- if kindIs "map" $deadline -}}
{{- fail "config.node.drain.deadline_s must be a number here: the pods' terminationGracePeriodSeconds is made from it" -}}
{{- end -}}
{{- $drain := dig "node" "drain" (dict) .Values.config -}}
{{- $spread := get $drain "spread_s" | default 10 -}}
{{- $answer := get $drain "answer_s" | default 2 -}}
{{- if not (or (kindIs "map" $spread) (kindIs "map" $answer)) -}}
{{- $needed := addf $spread $answer 5 -}}
{{- if lt (float64 $deadline) $needed -}}
{{- fail (printf "config.node.drain.deadline_s is %v, and should be at least spread_s + answer_s + 5 (%v)" $deadline $needed) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.observers.autoscaling.enabled (gt (int .Values.observers.autoscaling.minReplicas) (int .Values.observers.autoscaling.maxReplicas)) -}}
{{- fail "observers.autoscaling.minReplicas must not be above maxReplicas" -}}
{{- end -}}
{{- end -}}

{{- define "wampha.checkPorts" -}}
{{- $taken := dict (include "wampha.peersPort" .) "the nodes' own port" (include "wampha.monitoringPort" .) "the port of health and metrics" -}}
{{- $any := false -}}
{{- range $name, $listener := .Values.listeners -}}
{{- if include "wampha.isThere" (dict "root" $ "listener" $listener) -}}
{{- $any = true -}}
{{- $port := toString (int $listener.port) -}}
{{- if hasKey $taken $port -}}
{{- fail (printf "listeners.%s.port is %s, which is %s; choose another one" $name $port (get $taken $port)) -}}
{{- end -}}
{{- $_ := set $taken $port (printf "that of listeners.%s" $name) -}}
{{- end -}}
{{- end -}}
{{- if not $any -}}
{{- fail "listeners has none that is enabled, so no client could connect; e.g. listeners: {wamp: {port: 8080, auth: {anonymous: {role: anonymous}}}}" -}}
{{- end -}}
{{- end -}}

{{- define "wampha.checkVoters" -}}
{{- $live := lookup "apps/v1" "StatefulSet" .Release.Namespace (include "wampha.fullname" .) -}}
{{- $before := dig "metadata" "annotations" "wampha/voters" "" ($live | default dict) -}}
{{- if and $before (ne $before (toString (int .Values.voters.replicas))) -}}
{{- fail (printf "voters.replicas is %d, but this release runs with %s, and the voters of a running cluster cannot change: nodes that disagree on them refuse each other. Set voters.replicas=%s; to serve more clients set observers.replicas. For another number of voters: helm uninstall, then helm install (all sessions end)" (int .Values.voters.replicas) $before $before) -}}
{{- end -}}
{{- end -}}

{{- define "wampha.checkTls" -}}
{{- range $key, $tls := dict "tls" .Values.tls "peerTls" .Values.peerTls -}}
{{- if and $tls.certManager.enabled $tls.existingSecret -}}
{{- fail (printf "%s has both existingSecret and certManager.enabled; choose one" $key) -}}
{{- end -}}
{{- if and $tls.certManager.enabled (not (get $tls.certManager.issuerRef "name")) -}}
{{- fail (printf "%s.certManager.issuerRef.name is missing: the Issuer or ClusterIssuer that signs" $key) -}}
{{- end -}}
{{- end -}}
{{- if and (include "wampha.anyEncrypted" .) (not .Values.tls.existingSecret) (not .Values.tls.certManager.enabled) -}}
{{- fail "a listener is encrypted, but there is no certificate: set tls.existingSecret (made by: kubectl create secret tls NAME --cert=... --key=...), or tls.certManager.enabled and its issuerRef" -}}
{{- end -}}
{{- end -}}

{{/* Only with a cluster at hand: its namespaces have a service account `default`. */}}
{{- define "wampha.checkSecrets" -}}
{{- if and .Values.secrets.mustExist (lookup "v1" "ServiceAccount" .Release.Namespace "default") -}}
{{- $needed := dict -}}
{{- with .Values.tls.existingSecret }}{{ $_ := set $needed . "tls.existingSecret" }}{{ end -}}
{{- with .Values.peerTls.existingSecret }}{{ $_ := set $needed . "peerTls.existingSecret" }}{{ end -}}
{{- with .Values.clusterSecret.existingSecret }}{{ $_ := set $needed . "clusterSecret.existingSecret" }}{{ end -}}
{{- range $name, $from := .Values.secrets.env }}{{ $_ := set $needed $from.secret (printf "secrets.env.%s" $name) }}{{ end -}}
{{- range $name, $secret := .Values.secrets.files }}{{ $_ := set $needed $secret (printf "secrets.files.%s" $name) }}{{ end -}}
{{- range $secret, $where := $needed -}}
{{- if not (lookup "v1" "Secret" $.Release.Namespace $secret) -}}
{{- fail (printf "%s names the secret %q, which namespace %q does not have, and pods would wait for it: kubectl create secret generic %s --namespace %s --from-file=...; or set secrets.mustExist=false if it comes later" $where $secret $.Release.Namespace $secret $.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Clients come in as roles that some realm has; a node would not start otherwise. Names that are references are not known here. */}}
{{- define "wampha.checkRoles" -}}
{{- $roles := list -}}
{{- range $realm := concat (.Values.config.realms | default list) (.Values.config.realm_templates | default list) -}}
{{- range $role := $realm.roles }}{{ $roles = append $roles (kindIs "map" $role.name | ternary "" (toString $role.name)) }}{{ end -}}
{{- end -}}
{{- range $name, $listener := .Values.listeners -}}
{{- if include "wampha.isThere" (dict "root" $ "listener" $listener) -}}
{{- $auth := $listener.auth | default dict -}}
{{- if not $auth -}}
{{- fail (printf "nobody could join at listeners.%s; say who may, as in listeners.%s.auth: {anonymous: {role: %s}}" $name $name (first $roles | default "guest")) -}}
{{- end -}}
{{- $given := dict -}}
{{- with get $auth "anonymous" }}{{ $_ := set $given "anonymous" (get . "role") }}{{ end -}}
{{- range $method, $key := dict "ticket" "principals" "wampcra" "users" "scram" "principals" "cryptosign" "principals" "tls" "principals" -}}
{{- range $authid, $principal := (get (get $auth $method | default dict) $key) | default dict -}}
{{- $_ := set $given (printf "%s.%s.%s" $method $key $authid) (get ($principal | default dict) "role") -}}
{{- end -}}
{{- end -}}
{{- range $where, $role := $given -}}
{{- if and (kindIs "string" $role) (not (has $role $roles)) (not (has "" $roles)) -}}
{{- fail (printf "listeners.%s.auth.%s has the role %q, but the roles of config.realms are: %s" $name $where $role ($roles | uniq | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

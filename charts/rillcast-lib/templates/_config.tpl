{{/*
The configuration: a map of sections becomes TOML, whatever the sections are called; the program itself knows them.
*/}}

{{/* A value as TOML. */}}
{{- define "rillcast.toml.value" -}}
{{- if kindIs "string" . -}}
{{- toJson . -}}
{{- else if kindIs "bool" . -}}
{{- printf "%t" . -}}
{{- else if or (kindIs "float64" .) (kindIs "int64" .) (kindIs "int" .) -}}
{{- /* Numbers of values are floats: whole ones are written without a fraction. */ -}}
{{- if eq (float64 (int64 .)) (float64 .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . }}{{ $items = append $items (include "rillcast.toml.value" .) }}{{ end -}}
{{- printf "[%s]" (join ", " $items) -}}
{{- else if kindIs "map" . -}}
{{- $items := list -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $items = append $items (printf "%s = %s" (include "rillcast.toml.key" $key) (include "rillcast.toml.value" $value)) -}}
{{- end -}}
{{- end -}}
{{- printf "{ %s }" (join ", " $items) -}}
{{- else -}}
{{- fail (printf "config: %v cannot be written as TOML" .) -}}
{{- end -}}
{{- end }}

{{- define "rillcast.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . -}}{{ . }}{{- else -}}{{ toJson . }}{{- end -}}
{{- end }}

{{/* The keys of one section, a line each. */}}
{{- define "rillcast.toml.keys" -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) }}
{{ include "rillcast.toml.key" $key }} = {{ include "rillcast.toml.value" $value }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "rillcast.toml" -}}
{{- range $name, $section := omit . "apps" }}
{{- if not (kindIs "invalid" $section) }}
{{- if not (kindIs "map" $section) }}{{ fail (printf "config.%s: a section is a map of its keys" $name) }}{{ end }}
[{{ include "rillcast.toml.key" $name }}]
{{- include "rillcast.toml.keys" $section }}
{{ end }}
{{- end }}
{{- range .apps }}
[[apps]]
{{- include "rillcast.toml.keys" . }}
{{ end }}
{{- end }}

{{/* Matches the keys that have URLs of servers of yours: hooks, and the callbacks of [auth]. */}}
{{- define "rillcast.hookKeys" -}}
^(on_[a-z_]+|[a-z]+_callback)$
{{- end }}

{{/*
Refuses what is secret, however deep it stands. Takes a dict: path, how the value is called; key, the last part of that; value.
*/}}
{{- define "rillcast.refuseSecrets" -}}
{{- $path := .path -}}
{{- $key := .key -}}
{{- if kindIs "map" .value -}}
{{- range $name, $value := .value -}}
{{- include "rillcast.refuseSecrets" (dict "path" (printf "%s.%s" $path $name) "key" $name "value" $value) -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- range $index, $value := .value -}}
{{- include "rillcast.refuseSecrets" (dict "path" (printf "%s[%d]" $path $index) "key" $key "value" $value) -}}
{{- end -}}
{{- else if and .value (regexMatch "^(key|secret|token|password|.*_(auth|key|secret|token|password))$" $key) -}}
{{- fail (printf "%s: a secret must not stand in a ConfigMap; %s" $path (include "rillcast.placeOfSecret" $path)) -}}
{{- else if and (kindIs "string" .value) (regexMatch (include "rillcast.hookKeys" .) $key) (regexMatch "^[a-zA-Z]+://([^/?#]*@|[^#]*[?])" .value) -}}
{{- fail (printf "%s: a URL with a login or a query is a secret, which must not stand in a ConfigMap; %s, and open its port by networkPolicy.extraEgress" $path (include "rillcast.placeOfSecret" $path)) -}}
{{- end -}}
{{- end }}

{{/* What to do with a secret instead. What the chart mounts has its own values: the program refuses a key beside its file. */}}
{{- define "rillcast.placeOfSecret" -}}
{{- if hasPrefix "config.admin." . -}}
name a Secret with the logins in admin.existingSecret
{{- else if hasPrefix "config.cluster." . -}}
name a Secret with it in cluster.existingSecret
{{- else if regexMatch "^config\\.auth\\.(publish|play)_(jwt_|md5_)?key$" . -}}
name a Secret with it in auth.existingSecret, and its key there in auth.keys
{{- else -}}
put a TOML fragment with it into a Secret and name that in extraConfig
{{- end -}}
{{- end }}

{{/* Refuses what does not belong into `config`: secrets, and what the chart sets from other values. */}}
{{- define "rillcast.checkConfig" -}}
{{- include "rillcast.refuseSecrets" (dict "path" "config" "key" "config" "value" .Values.config) -}}
{{- range list "rtmp" "http" "admin" -}}
{{- $section := index $.Values.config . | default dict -}}
{{- if hasKey $section "listen" -}}
{{- fail (printf "config.%s.listen: set ports.%s instead, which Services and probes follow" . .) -}}
{{- end -}}
{{- if and (ne . "admin") (hasKey $section "tls_listen") -}}
{{- fail (printf "config.%s.tls_listen: set tls.secret and ports.%ss instead, which Services follow" . .) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The URLs of hooks and callbacks in a value, however deep they stand, as JSON. Takes a dict: key and value. */}}
{{- define "rillcast.hookUrls" -}}
{{- $key := .key -}}
{{- $urls := list -}}
{{- if kindIs "map" .value -}}
{{- range $name, $value := .value }}{{ $urls = concat $urls (include "rillcast.hookUrls" (dict "key" $name "value" $value) | fromJsonArray) }}{{ end -}}
{{- else if kindIs "slice" .value -}}
{{- range .value }}{{ $urls = concat $urls (include "rillcast.hookUrls" (dict "key" $key "value" .) | fromJsonArray) }}{{ end -}}
{{- else if and (kindIs "string" .value) (regexMatch (include "rillcast.hookKeys" .) $key) (regexMatch "^https?://" .value) -}}
{{- $urls = list .value -}}
{{- end -}}
{{- toJson $urls -}}
{{- end }}

{{/* The ports of these URLs, as JSON: each once, in the order of their numbers. */}}
{{- define "rillcast.hookPorts" -}}
{{- $ports := list -}}
{{- range include "rillcast.hookUrls" (dict "key" "config" "value" .Values.config) | fromJsonArray -}}
{{- $authority := regexReplaceAll "[/?#].*$" (regexReplaceAll "^https?://" . "") "" -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $authority) | default (ternary "443" "80" (hasPrefix "https" .)) -}}
{{- $ports = append $ports (printf "%05d" (atoi $port)) -}}
{{- end -}}
{{- $numbers := list -}}
{{- range $ports | uniq | sortAlpha }}{{ $numbers = append $numbers (atoi (regexReplaceAll "^0+" . "")) }}{{ end -}}
{{- toJson $numbers -}}
{{- end }}

{{/* What the chart sets by itself, below `config`; .sections are those of the role. As YAML. */}}
{{- define "rillcast.config" -}}
{{- $root := .root -}}
{{- include "rillcast.checkConfig" $root -}}
{{- $base := dict "log" (dict "format" "json") -}}
{{- range list "rtmp" "http" "admin" -}}
{{- $_ := set $base . (dict "listen" (printf ":%d" (int (index $root.Values.ports .)))) -}}
{{- end -}}
{{- $_ := set $base.admin "edit_auth_file" "/run/secrets/rillcast-admin/edit_auth" -}}
{{- $_ := set $base.admin "view_auth_file" "/run/secrets/rillcast-admin/view_auth" -}}
{{- if $root.Values.tls.secret -}}
{{- $_ := set $base.rtmp "tls_listen" (printf ":%d" (int $root.Values.ports.rtmps)) -}}
{{- $_ := set $base.http "tls_listen" (printf ":%d" (int $root.Values.ports.https)) -}}
{{- $_ := set $base "tls" (dict "certificates" (list "/run/secrets/rillcast-tls")) -}}
{{- end -}}
{{- with $root.Values.trustedProxies -}}
{{- $_ := set $base "net" (dict "trusted_proxies" .) -}}
{{- end -}}
{{- with include "rillcast.authSection" $root | fromJson -}}
{{- $_ := set $base "auth" . -}}
{{- end -}}
{{- if include "rillcast.hooksAuthority" $root -}}
{{- $_ := set $base "hooks" (dict "ca_file" "/run/secrets/rillcast-hooks/ca.crt") -}}
{{- end -}}
{{- $config := mergeOverwrite $base (deepCopy .sections) (deepCopy $root.Values.config) -}}
{{- if $root.Values.test.open -}}
{{- $_ := set $config "apps" (append ($config.apps | default list) (include "rillcast.testApp" $root | fromJson)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end }}

{{- define "rillcast.configMap" -}}
{{- $config := include "rillcast.config" . | fromYaml -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "rillcast.metadata" (dict "root" .root "name" (include "rillcast.fullname" .root)) | nindent 2 }}
data:
  10-chart.toml: |
    # Made by the chart from its values; conf/{{ include "rillcast.role" .root }}.toml of the sources explains every key.
    {{- include "rillcast.toml" $config | nindent 4 }}
{{- end }}

{{/* Whole seconds of a duration as the configuration has it, rounded up. */}}
{{- define "rillcast.seconds" -}}
{{- $text := toString . -}}
{{- if not (regexMatch "^(0|[0-9]+(ms|s|m|h|d))$" $text) -}}
{{- fail (printf "%q is no duration such as \"90s\"" $text) -}}
{{- end -}}
{{- $number := int64 (regexFind "^[0-9]+" $text) -}}
{{- if hasSuffix "ms" $text -}}{{ div (add $number 999) 1000 -}}
{{- else if hasSuffix "m" $text -}}{{ mul $number 60 -}}
{{- else if hasSuffix "h" $text -}}{{ mul $number 3600 -}}
{{- else if hasSuffix "d" $text -}}{{ mul $number 86400 -}}
{{- else -}}{{ $number }}{{- end -}}
{{- end }}

{{/* How long a pod may take to end: drain.hard_timeout and five seconds more (docs/operations.md). */}}
{{- define "rillcast.gracePeriod" -}}
{{- $drain := .Values.config.drain | default dict -}}
{{- $hard := "90s" -}}
{{- if hasKey $drain "hard_timeout" }}{{ $hard = $drain.hard_timeout }}{{ end -}}
{{- add (int64 (include "rillcast.seconds" $hard)) 5 -}}
{{- end }}

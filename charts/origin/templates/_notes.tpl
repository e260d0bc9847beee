{{/*
What only origins say after an installation.
*/}}

{{/* "true" if publishers are asked for something, as far as the values tell. */}}
{{- define "origin.asksPublishers" -}}
{{- $auth := merge (include "rillcast.authSection" . | fromJson) (.Values.config.auth | default dict) -}}
{{- $asks := "" -}}
{{- if or .Values.extraConfig (dig "hooks" "on_publish" "" .Values.config) }}{{ $asks = "true" }}{{ end -}}
{{- range $key, $value := $auth -}}
{{- if and $value (regexMatch "^publish_(key_file|jwt_key_file|md5_key_file|jwt_public_keys|callback|allow)$" $key) }}{{ $asks = "true" }}{{ end -}}
{{- end -}}
{{- $asks -}}
{{- end }}

{{/* What an edge release has to be told of this one. */}}
{{- define "origin.edgeOptions" -}}
{{- $values := .Values -}}
{{- $options := list (printf "origin.release=%s" .Release.Name) -}}
{{- if $values.fullnameOverride }}{{ $options = append $options (printf "origin.fullname=%s" (include "rillcast.fullname" .)) }}{{ end -}}
{{- if ne (int $values.ports.rtmp) 1935 }}{{ $options = append $options (printf "origin.rtmpPort=%d" (int $values.ports.rtmp)) }}{{ end -}}
{{- if ne (int $values.ports.http) 8080 }}{{ $options = append $options (printf "origin.httpPort=%d" (int $values.ports.http)) }}{{ end -}}
{{- if ne $values.clusterDomain "cluster.local" }}{{ $options = append $options (printf "clusterDomain=%s" $values.clusterDomain) }}{{ end -}}
{{- with $values.cluster.existingSecret }}{{ $options = append $options (printf "cluster.existingSecret=%s" .) }}{{ end -}}
{{- if ne $values.cluster.existingSecretKey "key" }}{{ $options = append $options (printf "cluster.existingSecretKey=%s" $values.cluster.existingSecretKey) }}{{ end -}}
{{- if include "rillcast.authSecretName" . -}}
{{- with $values.auth.existingSecret }}{{ $options = append $options (printf "auth.existingSecret=%s" .) }}{{ end -}}
{{- range $setting, $key := $values.auth.keys -}}
{{- if $key }}{{ $options = append $options (printf "auth.keys.%s=%s" $setting $key) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $index, $option := $options }}{{ if $index }} {{ end }}--set {{ $option }}{{ end -}}
{{- end }}

{{/*
What publishers and players have to show ([auth]): keys out of a Secret, made once or brought along. And the authority of hooks.
*/}}

{{/* What is mounted of the Secret of keys, as JSON: each with its file, which is called as the setting that names it. */}}
{{- define "rillcast.authItems" -}}
{{- $items := list -}}
{{- range $setting, $key := .Values.auth.keys -}}
{{- with $key }}{{ $items = append $items (dict "key" . "path" $setting) }}{{ end -}}
{{- end -}}
{{- range concat .Values.auth.publicKeys.publish .Values.auth.publicKeys.play | uniq -}}
{{- $items = append $items (dict "key" . "path" (printf "public/%s" .)) -}}
{{- end -}}
{{- toJson $items -}}
{{- end }}

{{/* The section [auth] that leads to these files, as JSON; empty without any. */}}
{{- define "rillcast.authSection" -}}
{{- $section := dict -}}
{{- range $setting, $key := .Values.auth.keys -}}
{{- if $key }}{{ $_ := set $section (printf "%s_file" $setting) (printf "/run/secrets/rillcast-auth/%s" $setting) }}{{ end -}}
{{- end -}}
{{- range $action, $keys := .Values.auth.publicKeys -}}
{{- $files := list -}}
{{- range $keys }}{{ $files = append $files (printf "/run/secrets/rillcast-auth/public/%s" .) }}{{ end -}}
{{- if $files }}{{ $_ := set $section (printf "%s_jwt_public_keys" $action) $files }}{{ end -}}
{{- end -}}
{{- toJson $section -}}
{{- end }}

{{/* The Secret of these keys; empty if none are named. The role knows where one is that this release neither makes nor names. */}}
{{- define "rillcast.authSecretName" -}}
{{- $auth := .Values.auth -}}
{{- if include "rillcast.authItems" . | fromJsonArray -}}
{{- if $auth.existingSecret -}}
{{- $auth.existingSecret -}}
{{- else if concat $auth.publicKeys.publish $auth.publicKeys.play -}}
{{- fail "auth.existingSecret: required for auth.publicKeys, which the chart cannot make" -}}
{{- else if $auth.generate -}}
{{- include "rillcast.fullname" . }}-auth
{{- else -}}
{{- include (printf "%s.authSecretName" (include "rillcast.role" .)) . -}}
{{- end -}}
{{- else if $auth.generate -}}
{{- fail "auth.generate needs auth.keys: name what is to be made, as in --set auth.keys.publish_key=publish-key" -}}
{{- end -}}
{{- end }}

{{/* The keys, made once: an upgrade finds them in the cluster. */}}
{{- define "rillcast.authSecret" -}}
{{- $name := include "rillcast.authSecretName" . -}}
{{- if and $name .Values.auth.generate (not .Values.auth.existingSecret) }}
{{- $found := dig "data" dict (lookup "v1" "Secret" .Release.Namespace $name | default dict) -}}
apiVersion: v1
kind: Secret
metadata:
  {{- include "rillcast.metadata" (dict "root" . "name" $name) | nindent 2 }}
type: Opaque
data:
  {{- range include "rillcast.authItems" . | fromJsonArray }}
  {{ .key }}: {{ dig .key (randAlphaNum 48 | b64enc) $found }}
  {{- end }}
{{- end }}
{{- end }}

{{/* "true" if hooks have an authority of their own. */}}
{{- define "rillcast.hooksAuthority" -}}
{{- $ca := .Values.hooks.ca -}}
{{- if and $ca.secret $ca.configMap }}{{ fail "hooks.ca.secret and hooks.ca.configMap: only one of the two can be" }}{{ end -}}
{{- if or $ca.secret $ca.configMap }}true{{ end -}}
{{- end }}

{{/* Mounts of the keys and the authority. */}}
{{- define "rillcast.keyMounts" -}}
{{- if include "rillcast.authSecretName" . }}
- name: auth
  mountPath: /run/secrets/rillcast-auth
  readOnly: true
{{- end }}
{{- if include "rillcast.hooksAuthority" . }}
- name: hooks-ca
  mountPath: /run/secrets/rillcast-hooks
  readOnly: true
{{- end }}
{{- end }}

{{/* Their volumes; what is secret for the group of the pod only (0440), as the cluster's key. */}}
{{- define "rillcast.keyVolumes" -}}
{{- with include "rillcast.authSecretName" . }}
- name: auth
  secret:
    secretName: {{ . }}
    defaultMode: 288
    items:
      {{- include "rillcast.authItems" $ | fromJsonArray | toYaml | nindent 6 }}
{{- end }}
{{- if include "rillcast.hooksAuthority" . }}
{{- $ca := .Values.hooks.ca }}
- name: hooks-ca
  {{- if $ca.secret }}
  secret:
    secretName: {{ $ca.secret }}
  {{- else }}
  configMap:
    name: {{ $ca.configMap }}
  {{- end }}
    items:
      - { key: {{ $ca.key | quote }}, path: ca.crt }
{{- end }}
{{- end }}

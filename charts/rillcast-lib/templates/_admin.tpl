{{/*
The logins of the admin port: made once, or taken from a Secret.
*/}}

{{- define "rillcast.adminSecretName" -}}
{{- .Values.admin.existingSecret | default (printf "%s-admin" (include "rillcast.fullname" .)) -}}
{{- end }}

{{/* Both logins, made once: an upgrade finds them in the cluster. */}}
{{- define "rillcast.adminSecret" -}}
{{- $admin := .Values.admin -}}
{{- if not $admin.existingSecret }}
{{- if not $admin.generate -}}
{{- fail "admin.existingSecret: required, since admin.generate is false. Make one: kubectl create secret generic rillcast-admin --from-literal=edit_auth=admin:$(openssl rand -hex 16) --from-literal=view_auth=viewer:$(openssl rand -hex 16)" -}}
{{- end -}}
{{- $name := include "rillcast.adminSecretName" . -}}
{{- $found := dig "data" dict (lookup "v1" "Secret" .Release.Namespace $name | default dict) -}}
apiVersion: v1
kind: Secret
metadata:
  {{- include "rillcast.metadata" (dict "root" . "name" $name) | nindent 2 }}
type: Opaque
data:
  {{ $admin.editKey }}: {{ dig $admin.editKey (printf "admin:%s" (randAlphaNum 32) | b64enc) $found }}
  {{ $admin.viewKey }}: {{ dig $admin.viewKey (printf "viewer:%s" (randAlphaNum 32) | b64enc) $found }}
{{- end }}
{{- end }}

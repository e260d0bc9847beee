{{/*
The pod of `helm test`: publishes the demo clip to one place and plays it from others. Takes a dict: root; publish, the
host and port to publish to; play, a dict of a container's name and its URL without the stream.
*/}}

{{/* The entry of [[apps]] that lets the test publish and play without a key, as JSON. */}}
{{- define "rillcast.testApp" -}}
{{- $hooks := dict "on_connect" list "on_publish" list "on_play" list -}}
{{- dict "match" .Values.test.app "auth" (dict "publish" false "play" false) "hooks" $hooks | toJson -}}
{{- end }}

{{- define "rillcast.testPod" -}}
{{- $values := .root.Values -}}
{{- $name := printf "%s-test" (include "rillcast.fullname" .root) -}}
{{- $container := dict "image" (include "rillcast.image" (dict "root" .root "tag" (include "rillcast.stableTag" .root))) "imagePullPolicy" $values.image.pullPolicy "securityContext" $values.containerSecurityContext "resources" (dict "requests" (dict "cpu" "20m" "memory" "32Mi") "limits" (dict "memory" "64Mi")) -}}
{{- $stream := printf "%s/%s" $values.test.app $name -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    # Of the same name as the servers, whose policies let it in, and of another component: no Service selects it.
    app.kubernetes.io/name: rillcast
    app.kubernetes.io/instance: {{ .root.Release.Name }}
    app.kubernetes.io/component: test
    app.kubernetes.io/part-of: rillcast
    app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  restartPolicy: Never
  activeDeadlineSeconds: 180
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: publish
      args: [publish, --demo, --seconds, "60", {{ printf "rtmp://%s/%s" .publish $stream | quote }}]
      {{- toYaml $container | nindent 6 }}
    {{- range $player, $url := .play }}
    - name: {{ $player }}
      args: [probe, --seconds, "5", --wait, "45", {{ printf $url $stream | quote }}]
      {{- toYaml $container | nindent 6 }}
    {{- end }}
{{- end }}

{{/*
What Helm says after an installation: the URLs that there are, whichever way leads in.
*/}}

{{/* The URL of a stream. Takes a dict: name, of the port; host; port. */}}
{{- define "rillcast.notes.url" -}}
{{- $schemes := dict "rtmp" "rtmp" "rtmps" "rtmps" "http" "http" "https" "https" "hls" "http" -}}
{{- $suffixes := dict "http" ".flv" "https" ".flv" "hls" ".m3u8" -}}
{{- get $schemes .name }}://{{ .host }}:{{ .port }}/live/x{{ get $suffixes .name -}}
{{- end }}

{{/* The ports of the Service of clients that there are, as JSON. */}}
{{- define "rillcast.notes.ports" -}}
{{- $names := include "rillcast.mediaPorts" . | fromJsonArray -}}
{{- if dig "enabled" false (.Values.nginx | default dict) }}{{ $names = append $names "hls" }}{{ end -}}
{{- $there := list -}}
{{- range $names }}{{ if (index $.Values.service .).enabled }}{{ $there = append $there . }}{{ end }}{{ end -}}
{{- toJson $there -}}
{{- end }}

{{/* Every URL from outside the cluster and within it, a line each. */}}
{{- define "rillcast.notes.urls" -}}
{{- $root := . -}}
{{- $values := .Values -}}
{{- $service := $values.service -}}
{{- $fullname := include "rillcast.fullname" . -}}
{{- $namespace := .Release.Namespace -}}
{{- $ports := include "rillcast.notes.ports" . | fromJsonArray -}}
{{- if $service.enabled }}
{{- range $index, $name := $ports }}
{{- $object := ternary (printf "%s-%s" $fullname $name) $fullname $service.split }}
{{- $port := index $service $name }}
{{- if eq $service.type "LoadBalancer" }}
{{- if or $service.split (eq $index 0) }}
  HOST=$(kubectl get service -n {{ $namespace }} {{ $object }} -o jsonpath='{.status.loadBalancer.ingress[0].ip}{.status.loadBalancer.ingress[0].hostname}')
{{- end }}
  {{ include "rillcast.notes.url" (dict "name" $name "host" "$HOST" "port" $port.port) }}
{{- else if eq $service.type "NodePort" }}
{{- $number := printf "$(kubectl get service -n %s %s -o jsonpath='{.spec.ports[?(@.name==\"%s\")].nodePort}')" $namespace $object $name }}
  {{ include "rillcast.notes.url" (dict "name" $name "host" "ADDRESS-OF-A-NODE" "port" ($port.nodePort | default $number)) }}
{{- else }}
  {{ include "rillcast.notes.url" (dict "name" $name "host" (printf "%s.%s.svc.%s" $object $namespace $values.clusterDomain) "port" $port.port) }}   within the cluster
{{- end }}
{{- end }}
{{- else }}
  service.enabled is false: within the cluster the pods are {{ include "rillcast.headlessName" . }}.{{ $namespace }}.svc.{{ $values.clusterDomain }}
{{- end }}
{{- if or $values.hostNetwork $values.hostPorts.enabled }}
{{- $numbers := ternary $values.ports $values.hostPorts $values.hostNetwork }}
{{- range include "rillcast.mediaPorts" . | fromJsonArray }}
  {{ include "rillcast.notes.url" (dict "name" . "host" "ADDRESS-OF-A-POD'S-NODE" "port" (index $numbers .)) }}
{{- end }}
{{- end }}
{{- if $values.ingress.enabled }}
{{- range $values.ingress.hosts }}
  http{{ if $values.ingress.tlsSecret }}s{{ end }}://{{ .host }}/live/x{{ ternary ".m3u8" ".flv" (eq .port "hls") }}   through the Ingress
{{- end }}
{{- end }}
{{- if $values.gateway.enabled }}
{{- range $values.gateway.hosts }}
  http://{{ .host }}/live/x{{ ternary ".m3u8" ".flv" (eq .port "hls") }}   through the Gateway, or https if its listener is
{{- end }}
{{- if $values.gateway.rtmp.enabled }}
  rtmp://ADDRESS-OF-THE-GATEWAY/live/x   at the port of its listener for RTMP
{{- end }}
{{- end }}
{{- end }}

{{/* From where kubectl runs, by the port of the Service that is there; empty without one. .prefer is the port to take if it is. */}}
{{- define "rillcast.notes.forward" -}}
{{- $values := .root.Values -}}
{{- $ports := include "rillcast.notes.ports" .root | fromJsonArray -}}
{{- if and $values.service.enabled $ports -}}
{{- $name := has .prefer $ports | ternary .prefer (first $ports) -}}
{{- $fullname := include "rillcast.fullname" .root -}}
{{- $object := ternary (printf "%s-%s" $fullname $name) $fullname $values.service.split -}}
{{- $port := int (index $values.service $name).port -}}
{{- $local := ternary (add $port 10000) $port (lt $port 1024) }}
  kubectl port-forward -n {{ .root.Release.Namespace }} service/{{ $object }} {{ $local }}:{{ $port }} &
  {{ include "rillcast.notes.url" (dict "name" $name "host" "127.0.0.1" "port" $local) }}
{{- end -}}
{{- end }}

{{/* What both say at the end. .pod is what has the admin port, as kubectl calls it. */}}
{{- define "rillcast.notes.rest" -}}
{{- $values := .root.Values -}}
{{- $namespace := .root.Release.Namespace -}}
{{- with include "rillcast.authSecretName" .root }}

Who publishes or plays has to show something made with a key of the Secret {{ . }} (docs/access.md).
{{- range $action, $key := dict "publish" $values.auth.keys.publish_key "play" $values.auth.keys.play_key }}
{{- if $key }}

To {{ $action }}:

  kubectl get secret -n {{ $namespace }} {{ include "rillcast.authSecretName" $.root }} -o jsonpath='{.data.{{ $key | replace "." "\\." }}}' | base64 -d >KEY
  rillcast sign --key-file KEY --action {{ $action }} --valid-for 4h live/x
{{- end }}
{{- end }}
{{- end }}
{{- if $values.hostNetwork }}

The pods use the network of their nodes. Where the network plugin holds no NetworkPolicy for such pods, whoever reaches a node reaches
their admin port {{ $values.ports.admin }}, too. Policies of other releases know them by addresses of nodes: name these in networkPolicy.nodes there.
{{- end }}

See whether media flows:

  helm test -n {{ $namespace }} {{ .root.Release.Name }}
{{- if and (include "rillcast.authItems" .root | fromJsonArray) (not $values.test.open) }}

It shows no key: test.open=true, here and at the {{ ternary "edges" "origin" (eq (include "rillcast.role" .root) "origin") }}, lets it in.
{{- end }}

The admin port, which no Service has: kubectl port-forward -n {{ $namespace }} {{ .pod }} {{ $values.ports.admin }}
Its API wants a login: kubectl get secret -n {{ $namespace }} {{ include "rillcast.adminSecretName" .root }} -o jsonpath='{.data.{{ $values.admin.viewKey | replace "." "\\." }}}' | base64 -d
{{- end }}

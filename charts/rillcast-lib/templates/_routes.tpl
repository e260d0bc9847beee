{{/*
Ways in for HTTP besides the Service: Ingress and Gateway API. Both must pass a stream on as it comes and for hours.
*/}}

{{- define "rillcast.ingress" -}}
{{- $ingress := .Values.ingress -}}
{{- if $ingress.enabled }}
{{- $annotations := dict -}}
{{- if eq $ingress.controller "nginx" -}}
{{- $annotations = dict
  "nginx.ingress.kubernetes.io/proxy-buffering" "off"
  "nginx.ingress.kubernetes.io/proxy-request-buffering" "off"
  "nginx.ingress.kubernetes.io/proxy-read-timeout" (printf "%d" (int $ingress.timeoutSeconds))
  "nginx.ingress.kubernetes.io/proxy-send-timeout" (printf "%d" (int $ingress.timeoutSeconds))
  "nginx.ingress.kubernetes.io/service-upstream" (toString $ingress.serviceUpstream) -}}
{{- else if eq $ingress.controller "haproxy" -}}
{{- $annotations = dict
  "haproxy.org/timeout-server" (printf "%ds" (int $ingress.timeoutSeconds)) -}}
{{- end -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- include "rillcast.metadata" (dict "root" . "name" (include "rillcast.fullname" .) "annotations" (merge (deepCopy $ingress.annotations) $annotations)) | nindent 2 }}
spec:
  {{- with $ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with $ingress.tlsSecret }}
  tls:
    - secretName: {{ . }}
      hosts:
        {{- range $ingress.hosts }}
        - {{ .host | quote }}
        {{- end }}
  {{- end }}
  rules:
    {{- range required "ingress.hosts: needs a host at least" ($ingress.hosts | default nil) }}
    - host: {{ .host | quote }}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: {{ include "rillcast.backendService" (dict "root" $ "port" .port) }}
                port:
                  name: {{ .port }}
    {{- end }}
{{- end }}
{{- end }}

{{/* The Service of clients that has a port, for what is behind a proxy. */}}
{{- define "rillcast.backendService" -}}
{{- $service := .root.Values.service -}}
{{- if not $service.enabled }}{{ fail "service.enabled: ingress and gateway need the Service" }}{{ end -}}
{{- if not (dig .port "enabled" false $service) }}{{ fail (printf "service.%s.enabled: a host of ingress or gateway needs this port" .port) }}{{ end -}}
{{- if and (eq .port "hls") (not .root.Values.nginx.enabled) }}{{ fail "nginx.enabled: a host of ingress or gateway has the port hls" }}{{ end -}}
{{- include "rillcast.fullname" .root }}{{ if $service.split }}-{{ .port }}{{ end -}}
{{- end }}

{{- define "rillcast.gatewayRoutes" -}}
{{- $gateway := .Values.gateway -}}
{{- if $gateway.enabled }}
{{- $parents := required "gateway.parentRefs: needs a Gateway at least" ($gateway.parentRefs | default nil) -}}
{{- range $index, $host := $gateway.hosts }}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  {{- include "rillcast.metadata" (dict "root" $ "name" (printf "%s-%d" (include "rillcast.fullname" $) $index) "annotations" $gateway.annotations) | nindent 2 }}
spec:
  parentRefs:
    {{- toYaml $parents | nindent 4 }}
  hostnames:
    - {{ $host.host | quote }}
  rules:
    - matches:
        - path: { type: PathPrefix, value: / }
      # A stream is one answer that does not end.
      timeouts:
        request: 0s
        backendRequest: 0s
      backendRefs:
        - name: {{ include "rillcast.backendService" (dict "root" $ "port" $host.port) }}
          port: {{ index $.Values.service $host.port "port" }}
{{- end }}
{{- if $gateway.rtmp.enabled }}
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata:
  {{- include "rillcast.metadata" (dict "root" $ "name" (printf "%s-rtmp" (include "rillcast.fullname" $)) "annotations" $gateway.annotations) | nindent 2 }}
spec:
  parentRefs:
    {{- toYaml ($gateway.rtmp.parentRefs | default $parents) | nindent 4 }}
  rules:
    - backendRefs:
        - name: {{ include "rillcast.backendService" (dict "root" $ "port" "rtmp") }}
          port: {{ .Values.service.rtmp.port }}
{{- end }}
{{- end }}
{{- end }}

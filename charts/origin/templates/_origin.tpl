{{/*
What only origins have: the cluster's key, stable names, a volume for what is written, and nginx beside it.
*/}}

{{- define "origin.keySecret" -}}
{{- .Values.cluster.existingSecret | default (printf "%s-cluster" (include "rillcast.fullname" .)) -}}
{{- end }}

{{- define "origin.configMap" -}}
{{- $peers := list (printf "_rtmp._tcp.%s.%s.svc.%s" (include "rillcast.headlessName" .) .Release.Namespace .Values.clusterDomain) -}}
{{- $cluster := dict "key_file" "/run/secrets/rillcast/cluster-key" "peers" $peers -}}
{{- $sections := dict "cluster" $cluster -}}
{{- if .Values.nginx.enabled }}{{ $_ := set $sections "hls" (dict "path" (printf "%s/hls" .Values.storage.mountPath)) }}{{ end -}}
{{- include "rillcast.configMap" (dict "root" . "sections" $sections) -}}
{{- end }}

{{/* The key, made once: an upgrade finds it in the cluster. */}}
{{- define "origin.secret" -}}
{{- if not .Values.cluster.existingSecret }}
{{- if not .Values.cluster.generate -}}
{{- fail "cluster.existingSecret: required, since cluster.generate is false. Make one: kubectl create secret generic rillcast-cluster --from-literal=key=$(openssl rand -hex 32)" -}}
{{- end -}}
{{- $name := include "origin.keySecret" . -}}
{{- $found := lookup "v1" "Secret" .Release.Namespace $name -}}
apiVersion: v1
kind: Secret
metadata:
  {{- include "rillcast.metadata" (dict "root" . "name" $name) | nindent 2 }}
type: Opaque
data:
  {{ .Values.cluster.existingSecretKey }}: {{ dig "data" .Values.cluster.existingSecretKey (randAlphaNum 48 | b64enc) ($found | default dict) }}
{{- end }}
{{- end }}

{{- define "origin.volumes" -}}
{{- $storage := .Values.storage -}}
{{- if eq $storage.type "emptyDir" }}
- name: media
  emptyDir:
    {{- with $storage.size }}
    sizeLimit: {{ . }}
    {{- end }}
{{- else if eq $storage.type "hostPath" }}
- name: media
  hostPath:
    path: {{ required "storage.hostPath: needed for storage.type hostPath" $storage.hostPath }}
    type: DirectoryOrCreate
{{- end }}
{{- if .Values.nginx.enabled }}
- name: nginx-config
  configMap:
    name: {{ include "rillcast.fullname" . }}-nginx
- name: nginx-tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end }}
{{- end }}

{{- define "origin.mounts" -}}
{{- if ne .Values.storage.type "none" }}
- name: media
  mountPath: {{ .Values.storage.mountPath }}
{{- end }}
{{- end }}

{{- define "origin.nginxContainer" -}}
{{- if .Values.nginx.enabled }}
{{- if eq .Values.storage.type "none" }}{{ fail "nginx.enabled: needs a volume to serve; set storage.type" }}{{ end }}
- name: nginx
  image: {{ .Values.nginx.image | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [nginx, -c, /etc/nginx-rillcast/nginx.conf, -g, "daemon off;"]
  ports:
    - name: hls
      containerPort: {{ .Values.nginx.port }}
      protocol: TCP
  readinessProbe:
    httpGet: { path: /healthz, port: hls }
    {{- toYaml .Values.probes.readiness | nindent 4 }}
  livenessProbe:
    httpGet: { path: /healthz, port: hls }
    {{- toYaml .Values.probes.liveness | nindent 4 }}
  {{- with .Values.nginx.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.containerSecurityContext | nindent 4 }}
  volumeMounts:
    - name: media
      mountPath: {{ .Values.storage.mountPath }}
      readOnly: true
    - name: nginx-config
      mountPath: /etc/nginx-rillcast
      readOnly: true
    - name: nginx-tmp
      mountPath: /tmp
{{- end }}
{{- end }}

{{- define "origin.nginxConfigMap" -}}
{{- if .Values.nginx.enabled }}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "rillcast.metadata" (dict "root" . "name" (printf "%s-nginx" (include "rillcast.fullname" .))) | nindent 2 }}
data:
  nginx.conf: |
    # Serves what the origin writes: playlists that change, and segments that never do. Writes to /tmp only.
    pid /tmp/nginx.pid;
    error_log /dev/stderr warn;
    worker_processes auto;
    worker_rlimit_nofile 65536;
    events { worker_connections 16384; }
    http {
      client_body_temp_path /tmp/body;
      proxy_temp_path /tmp/proxy;
      fastcgi_temp_path /tmp/fastcgi;
      uwsgi_temp_path /tmp/uwsgi;
      scgi_temp_path /tmp/scgi;
      access_log off;
      sendfile on;
      tcp_nopush on;
      default_type application/octet-stream;
      types {
        application/vnd.apple.mpegurl m3u8;
        video/mp2t ts;
        video/iso.segment m4s;
        video/mp4 mp4;
      }
      server {
        listen {{ .Values.nginx.port }};
        listen [::]:{{ .Values.nginx.port }};
        root {{ .Values.storage.mountPath }}/hls;
        location = /healthz { return 204; }
        location ~ \.m3u8$ {
          if ($request_method = OPTIONS) { return 204; }
          gzip on;
          gzip_types application/vnd.apple.mpegurl;
          add_header Cache-Control "public, max-age=1" always;
          add_header Access-Control-Allow-Origin "*" always;
          add_header Access-Control-Allow-Headers "Range" always;
        }
        location ~ /[0-9]+\.(ts|m4s|mp4)$ {
          if ($request_method = OPTIONS) { return 204; }
          add_header Cache-Control "public, max-age=31536000, immutable";
          add_header Access-Control-Allow-Origin "*" always;
          add_header Access-Control-Allow-Headers "Range" always;
          add_header Access-Control-Expose-Headers "Content-Length, Content-Range" always;
        }
        # Nothing else, files that are half written included.
        location / { return 404; }
      }
    }
{{- end }}
{{- end }}

{{/* A StatefulSet. Takes a dict: root, track, name, tag, replicas. */}}
{{- define "origin.workload" -}}
{{- $values := .root.Values -}}
{{- $pod := dict
  "root" .root "track" .track "tag" .tag
  "config" (list (include "origin.configMap" .root | fromYaml).data (include "origin.nginxConfigMap" .root | fromYaml).data)
  "keySecret" (include "origin.keySecret" .root) "keySecretKey" $values.cluster.existingSecretKey
  "volumes" (include "origin.volumes" .root | fromYamlArray)
  "mounts" (include "origin.mounts" .root | fromYamlArray)
  "containers" (include "origin.nginxContainer" .root | fromYamlArray) -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  {{- include "rillcast.metadata" (dict "root" .root "name" .name "labels" (dict "track" .track)) | nindent 2 }}
spec:
  serviceName: {{ include "rillcast.headlessName" .root }}
  replicas: {{ .replicas }}
  podManagementPolicy: {{ $values.podManagementPolicy }}
  minReadySeconds: {{ $values.minReadySeconds }}
  revisionHistoryLimit: {{ $values.revisionHistoryLimit }}
  updateStrategy:
    type: RollingUpdate
    rollingUpdate:
      partition: {{ ternary $values.partition 0 (eq .track "stable") }}
  selector:
    matchLabels:
      {{- include "rillcast.trackLabels" . | nindent 6 }}
  template:
    {{- include "rillcast.podTemplate" $pod | nindent 4 }}
  {{- if eq $values.storage.type "pvc" }}
  persistentVolumeClaimRetentionPolicy:
    whenDeleted: {{ $values.storage.whenDeleted }}
    whenScaled: {{ $values.storage.whenScaled }}
  volumeClaimTemplates:
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata:
        name: media
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $values.storage.className }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ required "storage.size: needed for storage.type pvc" $values.storage.size }}
  {{- end }}
{{- end }}

{{- define "origin.networkPolicy" -}}
{{- $policy := .Values.networkPolicy -}}
{{- $ports := list -}}
{{- range include "rillcast.mediaPorts" . | fromJsonArray }}{{ $ports = append $ports (dict "port" . "protocol" "TCP") }}{{ end -}}
{{- $ours := list (dict "namespaceSelector" dict "podSelector" (dict "matchLabels" (dict "app.kubernetes.io/name" "rillcast"))) -}}
{{- $isPublic := and .Values.service.enabled (ne .Values.service.type "ClusterIP") -}}
{{- $clients := dict "ports" $ports -}}
{{- if or $policy.clientsFrom (not $isPublic) }}{{ $_ := set $clients "from" (concat $ours $policy.clientsFrom) }}{{ end -}}
{{- $ingress := list $clients -}}
{{- if .Values.nginx.enabled -}}
{{- $hls := dict "ports" (list (dict "port" "hls" "protocol" "TCP")) -}}
{{- with $policy.hlsFrom }}{{ $_ := set $hls "from" . }}{{ end -}}
{{- $ingress = append $ingress $hls -}}
{{- end -}}
{{- $peers := dict "podSelector" (dict "matchLabels" (include "rillcast.selectorLabels" . | fromYaml)) -}}
{{- $egress := list (dict "to" (list $peers) "ports" (list (dict "port" "rtmp" "protocol" "TCP"))) -}}
{{- include "rillcast.networkPolicy" (dict "root" . "ingress" $ingress "egress" $egress) -}}
{{- end }}

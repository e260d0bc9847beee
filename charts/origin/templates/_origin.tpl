{{/*
What only origins have: the cluster's key, stable names, a volume for what is written, and nginx beside it.
*/}}

{{- define "origin.keySecret" -}}
{{- .Values.cluster.existingSecret | default (printf "%s-cluster" (include "rillcast.fullname" .)) -}}
{{- end }}

{{- define "origin.authSecretName" -}}
{{- fail "auth.existingSecret: required for auth.keys, unless auth.generate makes them. Make one: kubectl create secret generic rillcast-auth --from-literal=publish-key=$(openssl rand -hex 32)" -}}
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

{{/* How many pods there are, the canary's among them. */}}
{{- define "origin.pods" -}}
{{- add .Values.replicas (ternary .Values.canary.replicas 0 (eq (include "rillcast.hasCanary" .) "true")) -}}
{{- end }}

{{/* The affinity of pods: those that write to a directory of the node do not share it, unless the values know better. */}}
{{- define "origin.affinity" -}}
{{- $affinity := deepCopy .Values.affinity -}}
{{- if and (eq .Values.storage.type "hostPath") (not $affinity.podAntiAffinity) -}}
{{- $others := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (include "rillcast.selectorLabels" . | fromYaml)) -}}
{{- $_ := set $affinity "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $others)) -}}
{{- end -}}
{{- toJson $affinity -}}
{{- end }}

{{- define "origin.nginxContainer" -}}
{{- if .Values.nginx.enabled }}
{{- if eq .Values.storage.type "none" }}{{ fail "nginx.enabled: needs a volume to serve; set storage.type" }}{{ end }}
{{- if gt (int (include "origin.pods" .)) 1 }}
{{- fail "nginx.enabled: set replicas=1, and no canary: each nginx has the streams of its own pod only, so with more pods behind one Service requests for HLS end in 404" }}
{{- end }}
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
  {{- $delay := include "rillcast.seconds" (dig "drain" "propagation_delay" "10s" .Values.config) }}
  {{- if ne $delay "0" }}
  # As the program: requests are answered until nobody sends any here.
  lifecycle:
    preStop:
      exec: { command: [sleep, {{ $delay | quote }}] }
  {{- end }}
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
    worker_processes {{ .Values.nginx.workers }};
    events { worker_connections 4096; }
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
  "containers" (include "origin.nginxContainer" .root | fromYamlArray)
  "affinity" (include "origin.affinity" .root | fromJson) -}}
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

{{/* The ports that a way in leads to, whoever comes by it, as JSON: Services, ports of nodes, Ingress and Gateway. */}}
{{- define "origin.openPorts" -}}
{{- $names := list -}}
{{- $service := .Values.service -}}
{{- if and $service.enabled (ne $service.type "ClusterIP") }}{{ $names = include "rillcast.mediaPorts" . | fromJsonArray }}{{ end -}}
{{- if .Values.hostPorts.enabled }}{{ $names = concat $names (keys (omit .Values.hostPorts "enabled")) }}{{ end -}}
{{- if .Values.ingress.enabled }}{{ range .Values.ingress.hosts }}{{ $names = append $names .port }}{{ end }}{{ end -}}
{{- if .Values.gateway.enabled -}}
{{- range .Values.gateway.hosts }}{{ $names = append $names .port }}{{ end -}}
{{- if .Values.gateway.rtmp.enabled }}{{ $names = append $names "rtmp" }}{{ end -}}
{{- end -}}
{{- toJson $names -}}
{{- end }}

{{- define "origin.networkPolicy" -}}
{{- $policy := .Values.networkPolicy -}}
{{- $nodes := include "rillcast.nodePeers" . | fromJsonArray -}}
{{- $ports := list -}}
{{- $open := list -}}
{{- $opened := include "origin.openPorts" . | fromJsonArray -}}
{{- range include "rillcast.mediaPorts" . | fromJsonArray -}}
{{- $ports = append $ports (dict "port" . "protocol" "TCP") -}}
{{- if has . $opened }}{{ $open = append $open (dict "port" . "protocol" "TCP") }}{{ end -}}
{{- end -}}
{{- $ours := list (dict "namespaceSelector" dict "podSelector" (dict "matchLabels" (dict "app.kubernetes.io/name" "rillcast"))) -}}
{{- $isForAll := and (eq (len $open) (len $ports)) (not $policy.clientsFrom) -}}
{{- $clients := dict "ports" $ports -}}
{{- if not $isForAll }}{{ $_ := set $clients "from" (concat $ours $nodes $policy.clientsFrom) }}{{ end -}}
{{- $ingress := list $clients -}}
{{- if and $open (not $isForAll) (not $policy.clientsFrom) }}{{ $ingress = append $ingress (dict "ports" $open) }}{{ end -}}
{{- if .Values.nginx.enabled -}}
{{- $hls := dict "ports" (list (dict "port" "hls" "protocol" "TCP")) -}}
{{- with $policy.hlsFrom }}{{ $_ := set $hls "from" . }}{{ end -}}
{{- $ingress = append $ingress $hls -}}
{{- end -}}
{{- $peers := dict "podSelector" (dict "matchLabels" (include "rillcast.selectorLabels" . | fromYaml)) -}}
{{- $egress := list (dict "to" (list $peers) "ports" (list (dict "port" "rtmp" "protocol" "TCP"))) -}}
{{- with $nodes -}}
{{- /* The name of a port means nothing where no pod is selected. */ -}}
{{- $egress = append $egress (dict "to" . "ports" (list (dict "port" (int $.Values.ports.rtmp) "protocol" "TCP"))) -}}
{{- end -}}
{{- include "rillcast.networkPolicy" (dict "root" . "ingress" $ingress "egress" $egress) -}}
{{- end }}

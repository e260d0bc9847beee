{{/*
The pod. Takes a dict: root; track, "stable" or "canary"; tag, the image's, if it is not that of the values; config, the data
of the ConfigMaps; keySecret and keySecretKey, where the cluster's key is, if anywhere; volumes, mounts and containers of
the role, and its affinity, if it is not that of the values.
*/}}

{{- define "rillcast.trackLabels" -}}
{{ include "rillcast.selectorLabels" .root }}
track: {{ .track }}
{{- end }}

{{- define "rillcast.podTemplate" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
metadata:
  labels:
    {{- include "rillcast.checkLabels" (dict "name" "podLabels" "labels" $values.podLabels) }}
    {{- $selected := include "rillcast.trackLabels" . | fromYaml }}
    {{- toYaml (merge $selected $values.podLabels $values.commonLabels (dict "app.kubernetes.io/part-of" "rillcast")) | nindent 4 }}
  annotations:
    kubectl.kubernetes.io/default-container: rillcast
    {{- if $values.restartOnConfigChange }}
    checksum/config: {{ toJson .config | sha256sum }}
    {{- end }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "rillcast.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "rillcast.gracePeriod" $root }}
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if $values.hostNetwork }}
  hostNetwork: true
  {{- end }}
  dnsPolicy: {{ $values.dnsPolicy | default (ternary "ClusterFirstWithHostNet" "ClusterFirst" $values.hostNetwork) }}
  {{- with $values.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  {{- with $values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: rillcast
      image: {{ include "rillcast.image" . | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args:
        - {{ include "rillcast.role" $root }}
        - -c
        - /etc/rillcast/conf.d
        {{- range $index, $_ := $values.extraConfig }}
        - -c
        - /etc/rillcast/extra-{{ $index }}
        {{- end }}
      {{- with $values.extraEnv }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        {{- range append (include "rillcast.mediaPorts" $root | fromJsonArray) "admin" }}
        - name: {{ . }}
          containerPort: {{ index $values.ports . }}
          {{- if and $values.hostPorts.enabled (not $values.hostNetwork) (hasKey $values.hostPorts .) }}
          hostPort: {{ index $values.hostPorts . }}
          {{- end }}
          protocol: TCP
        {{- end }}
      startupProbe:
        httpGet: { path: /startupz, port: admin }
        {{- toYaml $values.probes.startup | nindent 8 }}
      livenessProbe:
        httpGet: { path: /livez, port: admin }
        {{- toYaml $values.probes.liveness | nindent 8 }}
      readinessProbe:
        httpGet: { path: /readyz, port: admin }
        {{- toYaml $values.probes.readiness | nindent 8 }}
      {{- with $values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- toYaml $values.containerSecurityContext | nindent 8 }}
      volumeMounts:
        # Directories and no subPath: a changed ConfigMap reaches the pod.
        - name: config
          mountPath: /etc/rillcast/conf.d
          readOnly: true
        {{- range $index, $_ := $values.extraConfig }}
        - name: extra-config-{{ $index }}
          mountPath: /etc/rillcast/extra-{{ $index }}
          readOnly: true
        {{- end }}
        {{- if .keySecret }}
        - name: cluster-key
          mountPath: /run/secrets/rillcast
          readOnly: true
        {{- end }}
        - name: admin
          mountPath: /run/secrets/rillcast-admin
          readOnly: true
        {{- if $values.tls.secret }}
        - name: tls
          mountPath: /run/secrets/rillcast-tls
          readOnly: true
        {{- end }}
        {{- with include "rillcast.keyMounts" $root | fromYamlArray }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with .mounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .containers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with $values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "rillcast.fullname" $root }}
    {{- range $index, $source := $values.extraConfig }}
    - name: extra-config-{{ $index }}
      {{- if $source.configMap }}
      configMap:
        name: {{ $source.configMap }}
      {{- else }}
      secret:
        secretName: {{ $source.secret }}
      {{- end }}
    {{- end }}
    {{- if .keySecret }}
    - name: cluster-key
      secret:
        secretName: {{ .keySecret }}
        # 0440: for the group of the pod, which is its fsGroup.
        defaultMode: 288
        items:
          - key: {{ .keySecretKey }}
            path: cluster-key
    {{- end }}
    - name: admin
      secret:
        secretName: {{ include "rillcast.adminSecretName" $root }}
        defaultMode: 288
        items:
          - { key: {{ $values.admin.editKey }}, path: edit_auth }
          - { key: {{ $values.admin.viewKey }}, path: view_auth }
    {{- with $values.tls.secret }}
    - name: tls
      secret:
        secretName: {{ . }}
        defaultMode: 288
    {{- end }}
    {{- with include "rillcast.keyVolumes" $root | fromYamlArray }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with .volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .affinity | default $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if or $values.topologySpread.zones $values.topologySpread.nodes }}
  topologySpreadConstraints:
    {{- $selector := include "rillcast.selectorLabels" $root | fromYaml }}
    {{- with $values.topologySpread.zones }}
    - maxSkew: 1
      topologyKey: topology.kubernetes.io/zone
      whenUnsatisfiable: {{ . }}
      labelSelector:
        matchLabels:
          {{- toYaml $selector | nindent 10 }}
    {{- end }}
    {{- with $values.topologySpread.nodes }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: {{ . }}
      labelSelector:
        matchLabels:
          {{- toYaml $selector | nindent 10 }}
    {{- end }}
  {{- end }}
{{- end }}

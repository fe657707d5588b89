"""Field numbers of the messages that kubectl's typed clients send, as far as `kubectl create` and friends use them.

One message a line: `number:name:type`. Types: s string, i integer, b boolean, y bytes, Q quantity, X int-or-string,
T time, or another message; `*` repeated, `%` a map from strings. The numbers are part of Kubernetes' published wire
format (the .proto files of k8s.io/api and k8s.io/apimachinery). A field that is not listed is refused, never dropped.
"""

MESSAGES = """
Deployment: 1:metadata:ObjectMeta 2:spec:DeploymentSpec
Job: 1:metadata:ObjectMeta 2:spec:JobSpec
CronJob: 1:metadata:ObjectMeta 2:spec:CronJobSpec
Namespace: 1:metadata:ObjectMeta 2:spec:NamespaceSpec
ConfigMap: 1:metadata:ObjectMeta 4:immutable:b 2:data:%s 3:binaryData:%y
Secret: 1:metadata:ObjectMeta 5:immutable:b 2:data:%y 4:stringData:%s 3:type:s
Service: 1:metadata:ObjectMeta 2:spec:ServiceSpec
ServiceAccount: 1:metadata:ObjectMeta 2:secrets:*ObjectReference 3:imagePullSecrets:*LocalObjectReference
    4:automountServiceAccountToken:b
ResourceQuota: 1:metadata:ObjectMeta 2:spec:ResourceQuotaSpec
PodDisruptionBudget: 1:metadata:ObjectMeta 2:spec:PodDisruptionBudgetSpec
Role: 1:metadata:ObjectMeta 2:rules:*PolicyRule
RoleBinding: 1:metadata:ObjectMeta 2:subjects:*Subject 3:roleRef:RoleRef
ClusterRole: 1:metadata:ObjectMeta 2:rules:*PolicyRule
ClusterRoleBinding: 1:metadata:ObjectMeta 2:subjects:*Subject 3:roleRef:RoleRef
Ingress: 1:metadata:ObjectMeta 2:spec:IngressSpec
PriorityClass: 1:metadata:ObjectMeta 2:value:i 3:globalDefault:b 4:description:s 5:preemptionPolicy:s
Eviction: 1:metadata:ObjectMeta 2:deleteOptions:DeleteOptions
DeleteOptions: 1:gracePeriodSeconds:i 2:preconditions:Preconditions 3:orphanDependents:b 4:propagationPolicy:s
    5:dryRun:*s 6:ignoreStoreReadErrorWithClusterBreakingPotential:b
SelfSubjectAccessReview: 1:metadata:ObjectMeta 2:spec:SelfSubjectAccessReviewSpec
SelfSubjectRulesReview: 1:metadata:ObjectMeta 2:spec:SelfSubjectRulesReviewSpec
HorizontalPodAutoscaler: 1:metadata:ObjectMeta 2:spec:HorizontalPodAutoscalerSpec
Pod: 1:metadata:ObjectMeta 2:spec:PodSpec
ObjectMeta: 1:name:s 2:generateName:s 3:namespace:s 4:selfLink:s 5:uid:s 6:resourceVersion:s 7:generation:i
    8:creationTimestamp:T 9:deletionTimestamp:T 10:deletionGracePeriodSeconds:i 11:labels:%s 12:annotations:%s
    13:ownerReferences:*OwnerReference 14:finalizers:*s
DeploymentSpec: 1:replicas:i 2:selector:LabelSelector 3:template:PodTemplateSpec 4:strategy:DeploymentStrategy
    5:minReadySeconds:i 6:revisionHistoryLimit:i 7:paused:b 9:progressDeadlineSeconds:i
JobSpec: 1:parallelism:i 2:completions:i 3:activeDeadlineSeconds:i 7:backoffLimit:i 12:backoffLimitPerIndex:i
    13:maxFailedIndexes:i 4:selector:LabelSelector 5:manualSelector:b 6:template:PodTemplateSpec
    8:ttlSecondsAfterFinished:i 9:completionMode:s 10:suspend:b 14:podReplacementPolicy:s 15:managedBy:s
CronJobSpec: 1:schedule:s 8:timeZone:s 2:startingDeadlineSeconds:i 3:concurrencyPolicy:s 4:suspend:b
    5:jobTemplate:JobTemplateSpec 6:successfulJobsHistoryLimit:i 7:failedJobsHistoryLimit:i
NamespaceSpec: 1:finalizers:*s
ServiceSpec: 1:ports:*ServicePort 2:selector:%s 3:clusterIP:s 18:clusterIPs:*s 4:type:s 5:externalIPs:*s
    7:sessionAffinity:s 8:loadBalancerIP:s 9:loadBalancerSourceRanges:*s 10:externalName:s 11:externalTrafficPolicy:s
    12:healthCheckNodePort:i 13:publishNotReadyAddresses:b 19:ipFamilies:*s 17:ipFamilyPolicy:s
    20:allocateLoadBalancerNodePorts:b 21:loadBalancerClass:s 22:internalTrafficPolicy:s 23:trafficDistribution:s
ObjectReference: 1:kind:s 2:namespace:s 3:name:s 4:uid:s 5:apiVersion:s 6:resourceVersion:s 7:fieldPath:s
LocalObjectReference: 1:name:s
ResourceQuotaSpec: 1:hard:%Q 2:scopes:*s
PodDisruptionBudgetSpec: 1:minAvailable:X 2:selector:LabelSelector 3:maxUnavailable:X 4:unhealthyPodEvictionPolicy:s
PolicyRule: 1:verbs:*s 2:apiGroups:*s 3:resources:*s 4:resourceNames:*s 5:nonResourceURLs:*s
Subject: 1:kind:s 2:apiGroup:s 3:name:s 4:namespace:s
RoleRef: 1:apiGroup:s 2:kind:s 3:name:s
IngressSpec: 4:ingressClassName:s 1:defaultBackend:IngressBackend 2:tls:*IngressTLS 3:rules:*IngressRule
Preconditions: 1:uid:s
SelfSubjectAccessReviewSpec: 1:resourceAttributes:ResourceAttributes 2:nonResourceAttributes:NonResourceAttributes
SelfSubjectRulesReviewSpec: 1:namespace:s
HorizontalPodAutoscalerSpec: 1:scaleTargetRef:CrossVersionObjectReference 2:minReplicas:i 3:maxReplicas:i
    4:metrics:*MetricSpec
PodSpec: 1:volumes:*Volume 20:initContainers:*Container 2:containers:*Container 3:restartPolicy:s
    4:terminationGracePeriodSeconds:i 5:activeDeadlineSeconds:i 6:dnsPolicy:s 7:nodeSelector:%s 8:serviceAccountName:s
    9:serviceAccount:s 21:automountServiceAccountToken:b 10:nodeName:s 11:hostNetwork:b 12:hostPID:b 13:hostIPC:b
    27:shareProcessNamespace:b 15:imagePullSecrets:*LocalObjectReference 16:hostname:s 17:subdomain:s
    19:schedulerName:s 22:tolerations:*Toleration 24:priorityClassName:s 25:priority:i 29:runtimeClassName:s
    30:enableServiceLinks:b 31:preemptionPolicy:s 32:overhead:%Q 35:setHostnameAsFQDN:b 37:hostUsers:b
    40:resources:ResourceRequirements 41:hostnameOverride:s
OwnerReference: 5:apiVersion:s 1:kind:s 3:name:s 4:uid:s 6:controller:b 7:blockOwnerDeletion:b
LabelSelector: 1:matchLabels:%s 2:matchExpressions:*LabelSelectorRequirement
PodTemplateSpec: 1:metadata:ObjectMeta 2:spec:PodSpec
DeploymentStrategy: 1:type:s 2:rollingUpdate:RollingUpdateDeployment
JobTemplateSpec: 1:metadata:ObjectMeta 2:spec:JobSpec
ServicePort: 1:name:s 2:protocol:s 6:appProtocol:s 3:port:i 4:targetPort:X 5:nodePort:i
IngressBackend: 4:service:IngressServiceBackend
IngressTLS: 1:hosts:*s 2:secretName:s
IngressRule: 1:host:s 2:ingressRuleValue:IngressRuleValue
ResourceAttributes: 1:namespace:s 2:verb:s 3:group:s 4:version:s 5:resource:s 6:subresource:s 7:name:s
NonResourceAttributes: 1:path:s 2:verb:s
CrossVersionObjectReference: 1:kind:s 2:name:s 3:apiVersion:s
MetricSpec: 1:type:s 4:resource:ResourceMetricSource
Volume: 1:name:s
Container: 1:name:s 2:image:s 3:command:*s 4:args:*s 5:workingDir:s 6:ports:*ContainerPort 19:envFrom:*EnvFromSource
    7:env:*EnvVar 8:resources:ResourceRequirements 24:restartPolicy:s 9:volumeMounts:*VolumeMount
    10:livenessProbe:Probe 11:readinessProbe:Probe 22:startupProbe:Probe 13:terminationMessagePath:s
    20:terminationMessagePolicy:s 14:imagePullPolicy:s 15:securityContext:SecurityContext 16:stdin:b 17:stdinOnce:b
    18:tty:b
Toleration: 1:key:s 2:operator:s 3:value:s 4:effect:s 5:tolerationSeconds:i
ResourceRequirements: 1:limits:%Q 2:requests:%Q
LabelSelectorRequirement: 1:key:s 2:operator:s 3:values:*s
RollingUpdateDeployment: 1:maxUnavailable:X 2:maxSurge:X
IngressServiceBackend: 1:name:s 2:port:ServiceBackendPort
IngressRuleValue: 1:http:HTTPIngressRuleValue
ResourceMetricSource: 1:name:s 2:target:MetricTarget
ContainerPort: 1:name:s 2:hostPort:i 3:containerPort:i 4:protocol:s 5:hostIP:s
EnvFromSource: 1:prefix:s 2:configMapRef:ConfigMapEnvSource 3:secretRef:SecretEnvSource
EnvVar: 1:name:s 2:value:s 3:valueFrom:EnvVarSource
VolumeMount: 1:name:s 2:readOnly:b 7:recursiveReadOnly:s 3:mountPath:s 4:subPath:s 5:mountPropagation:s
    6:subPathExpr:s
Probe: 1:handler:ProbeHandler 2:initialDelaySeconds:i 3:timeoutSeconds:i 4:periodSeconds:i 5:successThreshold:i
    6:failureThreshold:i 7:terminationGracePeriodSeconds:i
SecurityContext: 1:capabilities:Capabilities 2:privileged:b 4:runAsUser:i 8:runAsGroup:i 5:runAsNonRoot:b
    6:readOnlyRootFilesystem:b 7:allowPrivilegeEscalation:b 9:procMount:s
ServiceBackendPort: 1:name:s 2:number:i
HTTPIngressRuleValue: 1:paths:*HTTPIngressPath
MetricTarget: 1:type:s 2:value:Q 3:averageValue:Q 4:averageUtilization:i
ConfigMapEnvSource: 1:localObjectReference:LocalObjectReference 2:optional:b
SecretEnvSource: 1:localObjectReference:LocalObjectReference 2:optional:b
EnvVarSource: 1:fieldRef:ObjectFieldSelector 2:resourceFieldRef:ResourceFieldSelector
    3:configMapKeyRef:ConfigMapKeySelector 4:secretKeyRef:SecretKeySelector
ProbeHandler: 1:exec:ExecAction 2:httpGet:HTTPGetAction 3:tcpSocket:TCPSocketAction
Capabilities: 1:add:*s 2:drop:*s
HTTPIngressPath: 1:path:s 3:pathType:s 2:backend:IngressBackend
ObjectFieldSelector: 1:apiVersion:s 2:fieldPath:s
ResourceFieldSelector: 1:containerName:s 2:resource:s 3:divisor:Q
ConfigMapKeySelector: 1:localObjectReference:LocalObjectReference 2:key:s 3:optional:b
SecretKeySelector: 1:localObjectReference:LocalObjectReference 2:key:s 3:optional:b
ExecAction: 1:command:*s
HTTPGetAction: 1:path:s 2:port:X 3:host:s 4:scheme:s 5:httpHeaders:*HTTPHeader
TCPSocketAction: 1:port:X 2:host:s
HTTPHeader: 1:name:s 2:value:s
"""

"""Differences that are known, each with its reason. Most are right: Gantry speaks 1.3x, the oracle is 1.20. A reason that begins with "open: " names a fault
of Gantry's that somebody still has to mend; those are counted apart."""

# (scenario METHOD path, field, left, right, reason); regular expressions: the first is searched, the others match whole. None matches all.
NOTHING = r"-"
ROWS = [
    (r"", r".*labels\.kubernetes\.io/metadata\.name", NOTHING, None, "namespaces carry their name as label since 1.21"),
    (r"", r"body\.columnDefinitions\[\d+\]\.description", None, None, "columns are described in Gantry's own words"),
    (r"", r".*\.volumes\[\d+\]\.(secret|projected|name)", None, None, "tokens are bound and projected since 1.21"),
    (r"", r".*\.volumeMounts\[\d+\]\.name", r'"default-token-.*', None, "tokens are bound and projected since 1.21"),
    (r"", r".*\.secrets", r'.*-token-<rand>.*', NOTHING, "no token secrets are made for accounts since 1.24"),
    (r"", r"(.*\.)?(ipFamilyPolicy|ipFamilies)", NOTHING, None, "dual stack is on since 1.21"),
    (r"", r".*\.internalTrafficPolicy", NOTHING, None, "internal traffic policy since 1.22"),
    (r"", r".*\.(allocateLoadBalancerNodePorts)", NOTHING, None, "load balancers may do without node ports since 1.20, by default since 1.22"),
    (r"", r".*\.(suspend|podReplacementPolicy|completionMode|manualSelector)", NOTHING, None, "jobs: fields after 1.20"),
    (r"", r".*\.(persistentVolumeClaimRetentionPolicy)", NOTHING, None, "stateful sets: fields after 1.20"),
    (r"", r".*labels\.batch\.kubernetes\.io/(controller-uid|job-name)", NOTHING, None, "jobs: prefixed labels since 1.27"),
    (r"", r".*matchLabels\.(batch\.kubernetes\.io/)?controller-uid", None, None, "jobs: prefixed labels since 1.27"),
    (r"", r".*\.conditions\[\d+\]\.observedGeneration", NOTHING, None, "pod conditions have a generation since 1.33"),
    (r"", r".*\.template\.metadata\.creationTimestamp", "null", NOTHING, "templates have no empty creationTimestamp since 1.34"),
    (r"", r".*\.metadata\.creationTimestamp", "null", NOTHING, "no empty creationTimestamp since 1.34"),
    (r"", r".*(labels|nodeSelector)\.beta\.kubernetes\.io/(os|arch)", None, None, "beta labels of nodes are gone"),
    (r"", r".*annotations\.node\.alpha\.kubernetes\.io/ttl", None, NOTHING, "no TTL controller: Gantry's agent watches what it mounts"),
]

ROWS += [
    # how the server itself answers
    (r"", r"(body|body\[0\])\.details", r"\{\}", NOTHING, "an empty details member says nothing"),
    (r" (PUT|PATCH) ", r"body\.message", r'".*StorageError.*', None, "etcd's keys are not shown"),
    (r"(create-read-update|scale)", r"body\.message", r'".*(cannot be handled as|the object provided is unrecognized).*', r'".*(cannot be handled as|in the data).*', "the reader's own words; code and reason agree"),
    (r"", r"warning", r'""', r'"299 .*unknown field.*', "unknown fields are warned of since 1.25"),
    (r"create-read-update HEAD", r"code", None, None, "HEAD is answered"),
    (r"create-read-update FOO", r".*", None, None, "an unknown method is not HTTP to Gantry"),
    (r"create-read-update POST", r"code|body\.(code|reason)", r"500|-", r'400|"BadRequest"', "a resourceVersion on create is the client's fault: 400"),
    (r"create-read-update POST", r"code|body\..*|outcome", r'.*(422|ConfigMap|Invalid|name or generateName).*', r'.*(400|couldn.t get version|-|BadRequest).*', "null is no object"),
    (r"create-read-update GET", r"body\.message", r'"406: Not Acceptable"', None, "what is acceptable is named"),
    (r"create-read-update GET", r"outcome", r'"406 NotAcceptable: 406: Not Acceptable"', r'"200 ConfigMap"', "Accept: application/* is understood"),
    (r"", r".*annotations", NOTHING, r'\{"kubernetes.io/description": .*', "kube-root-ca.crt is described since 1.21"),
    (r"dryRun=All", r"body\.spec\.clusterIPs?", NOTHING, None, "a dry run shows an address since 1.21"),
    (r"patches PATCH", r"body\.message", r'"the server rejected our request due to an error in our request"', None, "why a JSON patch fails is said"),
    (r"", r"body\.details\.causes\[#\]", None, None, "causes are not repeated"),
    (r"large-bodies|metadata-errors|service-errors", r".*message", r'".*must have at most.*', r'".*may not be more than.*', "too long: 1.31's words"),
    (r"unknown-paths", r"outcome", r'"(404 404 page not found\\n|404 )"', None, "404 is a Status"),
    (r"unknown-paths POST", r"outcome", None, r'"405 MethodNotAllowed.*', "read-only paths refuse other methods"),
    (r"unknown-paths", r"body\.(compiler|git.*|goVersion|minor|major|buildDate)", None, None, "the version"),
    (r"unknown-paths|discovery", r"body\.apiVersion", NOTHING, None, "lists of resources carry their version"),
    (r"unknown-paths", r".*serverAddress", None, None, "the address"),
    (r"unknown-paths|discovery", r"body\.resources.*singularName", r'""', None, "singular names are told since 1.27"),
    (r"unknown-paths|discovery", r"body\.resources\[[a-z]+/(proxy|portforward)\]", None, NOTHING, "not served yet: proxies and port-forward"),
    (r"unknown-paths|discovery", r"body\.resources\[[a-z]+/(ephemeralcontainers|resize)\]", NOTHING, None, "newer subresources"),
    (r"unknown-paths|discovery", r"body\.resources\[services\]\.verbs\[deletecollection\]", NOTHING, None, "collections of services can be deleted since 1.22"),
    (r"unknown-paths|discovery", r"body\.(groups|versions|paths|preferredVersion).*", None, None, "other versions of groups"),
]

ROWS += [
    (r"/pods|podtemplates|poddisruption|PodTemplate|-defaults|limit-ranges|quotas|priorities|every-kind|tables|managed|service-account|lists|deployments|scheduling|stuck|replica", r"(body|body\.items\[.*\]|body\.rows.*|body\[.*\])(\.object)?\.metadata\.generation", NOTHING, r"\d+", "pods, pod templates and budgets count generations now"),
    (r"deletions", r".*metadata\.generation", r"\d+", NOTHING, "a generation that nobody counts is not kept"),
    (r"", r".*message", r'".*had taint \{.*', r'".*had untolerated taint.*', "untolerated taint since 1.21"),
    (r"deletions DELETE", r"code|body\.(code|reason|message)", None, r'400|"BadRequest"|"(the body of a delete is|DeleteOptions cannot be read).*', "unreadable options are the client's fault: 400"),
    (r"", r"body\.message", r'"strconv.*', r'".*strconv.*', "the parameter is named"),
    (r"field-selectors", r"outcome", r'"400 .*spec\.(type|clusterIP|hostNetwork)\b.*', r'"200.*', "selectable since 1.21"),
    (r"field-selectors GET /api/v1/nodes", r".*", None, None, "nodes of other scenarios"),
    (r"strategic-patches PATCH", r"body\.(code|reason|message)|code", r'500|-|"map: map.*', r'422|"Invalid"|"map: .*', "a list member without its key is the client's fault"),
    (r"", r"body\.(message|details\.causes.*\.message)", r'".*(v1\.LabelSelector\{|map\[string\]string).*', r'".*Invalid value: \{.*', "values are shown as JSON since 1.34"),
]

ROWS += [
    (r"", r".*columnDefinitions\[.*\]\.description", None, None, "columns are described in Gantry's own words"),
    (r"lists GET", r".*", r'"Expired"|410|"The provided continue.*|"<continue>"|500|-|"200 ConfigMapList"', r'400|"BadRequest"|-|"continue key.*|"invalid continue.*|"400 BadRequest: limit.*', "tokens are Gantry's own, wrong parameters are the client's fault"),
    (r"lists", r".*remainingItemCount", None, None, "how much else there is"),
    (r"watches", r"code|body\[0\]\.(code|reason)", r"500|-", r'400|"BadRequest"', "wrong parameters are the client's fault"),
    (r"watches .*99999999", r".*", None, None, "a watch from the future ends with 504, so that clients list again"),
    (r"watches .*resourceVersion=1$", r".*", None, None, "Gantry still has the history"),
    (r"watches", r".*cells\[\d+\]", None, None, "ages"),
    (r"subresources", r"body\.spec\.replicas", NOTHING, "0", "a scale of 0 is shown since 1.34"),
    (r"deletions DELETE .*/services$", r"outcome", None, None, "collections of services can be deleted since 1.22"),
]

ROWS += [
]

ROWS += [
    (r"every-kind|tables", r"body\.rows\[\d+\]\.cells.*|body\.columnDefinitions\[[^.]*\](\.(type|priority))?", None, None, "columns have been added since"),
    (r"every-kind|deletions", r".*finalizers", r'\["kubernetes.io/pvc?-protection"\]', NOTHING, "nothing binds volumes yet, so nothing protects them"),
    (r"every-kind DELETE", r".*", None, None, "which kinds are shown when they go"),
    (r"statefulsets|daemonsets|replicationcontrollers|poddisruptionbudgets|persistentvolumes", r"body\.status\..*", None, None, "these controllers are not there yet"),
    (r"", r".*annotations", r'\{"deprecated.daemonset.template.generation": "1"\}', NOTHING, "the deprecated template generation is gone"),
    (r"", r".*\.(maxSurge|availableReplicas|requiresRepublish|seLinuxMount|storageCapacity|nodeAllocatableUpdatePeriodSeconds)", NOTHING, None, "fields after 1.20"),
    (r"", r".*podCIDRs?(\[.*\])?", None, None, "the range of a node"),
    (r"other-defaults", r".*(endpoints|address|subsets).*", None, None, "the address of the server"),
]

OLD = r".*"  # whatever 1.20 said
ROWS += [
    # access
    (r"bootstrap-roles", r"body\.rules(\[#\]|\[.*(extensions|resource\.k8s\.io|coordination\.k8s\.io|endpointslices|events|endpoints|eviction|serviceaccounts/token|finalizers|selfsubjectreviews|componentstatuses|bindings|storage\.k8s\.io|ingressclasses|replicationcontrollers|certificatesigningrequests|poddisruptionbudgets|tokenreviews|subjectaccessreviews|status|podsecuritypolicies).*\])", None, None, "bootstrap roles: rules have moved since 1.20"),
    (r"bootstrap-roles", r"outcome", None, None, "roles of features that are not served: bootstrap tokens, request-header authentication"),
    (r"bootstrap-roles", r"body\.items", None, NOTHING, "roles of features that are not served: bootstrap tokens, request-header authentication"),
    (r"role-based-access", r"body\.serverAddress.*", None, None, "the address"),
    (r"role-based-access POST", r"body\.message", OLD, None, "the rules of a bootstrap role, listed one by one"),
    (r"role-based-access GET", r"outcome", r'"500 Internal.*', None, "impersonation without a user is the client's fault"),
    (r"role-based-access GET", r"outcome|body\.message", r'".*(NodeList|RBAC: role|can only read).*', None, "nodes see only themselves since 1.32; refusals name no missing role"),
    (r"reviews POST", r"body\.(details\.(kind|causes.*)|message)", None, None, "reviews: the kind is named"),
    (r"reviews POST", r"outcome", r'"422 .*must match metadata.namespace"', r'"201 .*', "a local review says its namespace once"),
    (r"reviews", r"body\.spec\.namespace|.*selfsubjectreviews.*", NOTHING, None, "newer reviews"),
    (r"reviews GET", r"code|body\.(code|message|reason)", None, None, "reviews cannot be read: 405"),
    (r"reviews|service-account-tokens", r"body\.status\.(authenticated|user|error)", None, None, "token reviews say what is false"),
    (r"service-account-tokens .*token$", r"body\.metadata\..*", NOTHING, None, "token requests have metadata since 1.21"),
    (r"service-account-tokens", r"body\.(compiler|git.*|goVersion|minor|message)|body\.status\.user\.extra|body\.secrets", None, None, "versions; no token secrets since 1.24; tokens have an id"),
    (r"service-account-tokens .*pods", r"code|body\.(code|details|message|reason)", None, None, "a token ends at once with its account"),
    # controllers
    (r"deployments EVENTS|replica-sets EVENTS", r"body.*", r'.*(Scaled|-|\d).*', None, "scaling events say from how many since 1.29"),
    (r"scheduling EVENTS|stuck-deployment EVENTS|scheduling GET", r"body.*", None, None, "the scheduler's words of 1.3x; nodes of other scenarios"),
    (r"deployments GET .*/replicasets$", r"body\.items\[\d\].*", None, None, "two sets in the order of their names"),
    (r"deployments|subresources|evictions", r".*(observedGeneration|hostIPs).*", NOTHING, None, "newer fields of a pod's status"),
    (r"endpoints GET", r".*(last-change-trigger-time|managed-by|targetRef\.resourceVersion|annotations|labels).*", None, None, "endpoints: labelled since 1.33, without revisions since 1.25; no trigger times"),
    (r"endpoints GET .*endpointslices$", r"body\..*|note", None, None, "slices are polled while they change"),
    (r"quotas GET", r"body\.status\.used\.secrets|body\.rows.*", None, None, "no token secrets since 1.24"),
    (r"quotas POST", r"body\.message", r'".*must specify limits.memory,requests.cpu"', None, "which container is named since 1.27"),
    (r"quotas POST", r"body\.message", r'".*used: services=1.*', None, "usage is freed at once"),
    (r"nodes|tables GET /api/v1/nodes", r".*annotations.*", None, None, "no TTL controller: Gantry's agent watches what it mounts"),
    (r"nodes GET .*proxy", r".*", None, None, "not served yet: proxies and port-forward"),
    (r"priorities PATCH", r"body\.(message|details.*)", None, None, "the field is value since 1.22"),
    (r"priorityclasses$", r"body\..*", None, None, "classes are described in Gantry's own words"),
    (r"every-kind|tables|field-selectors|deletions|managed-fields", r".*\.conditions(\[PodScheduled\]\.message)?", None, None, "which nodes there are"),
    (r"stuck-deployment GET", r".*\.revision", None, None, "a rollout that is watched while it runs"),
    (r"namespaces|service-account-tokens", r"body\.secrets", None, NOTHING, "no token secrets since 1.24"),
    # reads and writes
    (r"create-read-update GET", r"body\..*apiVersion", r'"meta.k8s.io/v1beta1"', None, "tables of v1beta1 are answered as v1"),
    (r"dry-runs|deletions|lists", r"body\.(message|details\.causes.*)", None, None, "values are shown as JSON since 1.34; versions and sizes"),
    (r"label-selectors", r"body\.message", None, r'".*(values\[0\]|<nil>|in, notin).*', "label selectors: 1.3x's words"),
    (r"field-selectors", r"outcome|body\.message", None, None, "which fields can be selected, in newer words"),
    (r"patches|strategic-patches", r"body\.(message|details\.causes.*|details)", None, None, "what a patch has wrong, in the reader's own words; causes are not repeated"),
    (r"patches PATCH", r"code|body\.(code|reason|details\.(kind|name))", r"422|500|-|\"Invalid\"", r'400|"BadRequest"|"configmaps"|"cm"', "patches that cannot be read: 400 since 1.25"),
    (r"managed-fields", r".*f:(selector|nodeSelector).*|.*\.subresource|.*(lastProbeTime|lastTransitionTime).*|body\.fields\[0\]\.fieldsV1\.f:data\..*", None, None, "field ownership: atomic selectors since 1.21, status as subresource since 1.22"),
    (r"subresources .*/(portforward|proxy)", r".*", None, None, "not served yet: proxies and port-forward"),
    (r"subresources .*/log", r"code|type|outcome|body\.(message|code|details.*|reason)", None, None, "a log that is not there is empty; the reader's own words"),
    (r"subresources .*(binding|scale)", r".*", None, None, "bindings are validated (422); a missing scale is its object that is missing"),
    (r"deletions DELETE", r"body\.(metadata\.deletion.*|details|kind|metadata\..*|spec|status.*)", None, None, "services are shown when they go; what is gone has no deletion time"),
    (r"deletions GET", r"body\.items.*", None, None, "orphaning takes its time"),
    (r"watches WATCH", r"body\[.*", None, None, "the order of a state; wrong parameters are named"),
    (r"service-defaults", r".*ipMode", NOTHING, None, "ipMode since 1.32"),
    (r"service-defaults", r"outcome", r'"201 Service"|".*primary clusterIP can not be unset"', None, "a dry run allocates since 1.21; an address that is left out stays"),
    (r"service-defaults", r"body\.spec\.externalTrafficPolicy", NOTHING, None, "services with external addresses have a policy since 1.26"),
    (r"every-kind .*horizontalpod", r"body\.status\.currentReplicas", None, None, "autoscalers: 0 is left out in v2"),
    (r"every-kind .*certificatesigning", r".*", None, None, "the request of this scenario is no request: see other-errors"),
    (r"unknown-paths .*(healthz|livez|readyz|logs|pprof|openid|componentstatuses|swagger)", r".*", None, None, "health checks by other names; what 1.20 serves beside the API"),
    (r"unknown-paths", r".*(eviction\.version|serverAddress)", None, None, "the address; evictions are policy/v1 since 1.22"),
    (r"tables", r".*reporting(Controller|Instance)|outcome|.*componentstatus.*|warning|body\.(rows|metadata).*", None, None, "component statuses have been deprecated since 1.19"),
    (r"discovery", r"body\.(resources|groups|versions|preferredVersion).*", NOTHING, None, "newer resources, other versions"),
    (r"discovery", r"body\.(groups|versions|preferredVersion).*", None, None, "newer resources, other versions"),
    (r"discovery", r"body\.resources.*/(proxy|portforward)", None, NOTHING, "not served yet: proxies and port-forward"),
    (r"discovery", r".*(serverAddress|eviction\.version)", None, None, "the address; evictions are policy/v1 since 1.22"),
    (r"other-defaults", r".*(remainingItemCount|outcome)", None, None, "request-header authentication is not served; micro times are read without fraction"),
    (r"pod-defaults", r".*requests\.(cpu|memory)", None, None, "odd spellings of amounts are normalised"),
    (r"pod-defaults", r"outcome", r'"(422.*azureDisk.*|201 Pod)"', None, "ephemeral volumes since 1.23; ephemeral containers come later"),
    (r"workload-defaults", r".*ttlSecondsAfterFinished", NOTHING, None, "jobs: fields after 1.20"),
    (r"-errors", r"body\.(message|details\.causes.*\.message)", r'".*(must be no more than \d+ characters|must be valid IP address|cannot be handled as|v1\.|core\.|apps\.|resource\.|\[\]string|map\[string\]|a lowercase RFC 1123|a qualified name|expected at).*', None, "1.3x's words"),
    (r"-errors", r"body\.details\.causes\[\d+\]", None, NOTHING, "causes are not repeated"),
]

ROWS += [
    (r"", r".*metadata\.labels", NOTHING, r'\{"kubernetes.io/metadata.name": "[^"]*"\}', "namespaces carry their name as label since 1.21"),
    (r"large-bodies", r"body\.message", None, r'".*exceeded max depth.*', "the reader's own words; code and reason agree"),
    (r"subresources|update-errors", r"body\.(message|details\.causes\[spec FieldValueForbidden\](\.message)?)", r'".*pod updates may not.*|-', r'.*pod updates may not change fields other than.*', "which fields of a pod may change: 1.3x's words"),
    (r"every-kind .*nodes", r"body\.spec\.taints", NOTHING, None, "a node that never spoke is not ready"),
    (r"service-defaults|update-errors|service-errors", r"body\.(message|details\.causes\[\d\](\.message)?)", None, r'.*may not change once set.*', "values are shown as JSON since 1.34"),
    (r"bootstrap-roles .*/system:(kube-scheduler|node|node-proxier|monitoring|controller:.*)$", r"body\.rules(\[.*\])?", None, None, "components' roles: rules have moved since 1.20"),
    (r"quotas PATCH", r"body\.status\.used\.secrets", None, None, "no token secrets since 1.24"),
]

ROWS += [
    (r"controllerrevisions", r"outcome", r'"422 .*field is immutable.*', r'"200 .*', "1.20 takes data that is written back for other data"),
    (r"pod-errors", r"outcome", r'"422 .*(env|envFrom)\[0\]\.(name|prefix): .*', r'"201 .*', "names of variables are nearly free since 1.34"),
    (r"update-errors PATCH .*/statefulsets/", r"outcome", r'"422 .*', r'"200 .*', "revisionHistoryLimit can change since 1.33"),
    (r"update-errors PATCH .*/persistentvolumeclaims/", r"outcome", r'"422 .*', r'"200 .*', "a claim without a class can get one since 1.26"),
    (r"metadata-errors", r"outcome", r'"422 .*metadata.generation.*', r'"201 .*', "a generation that is sent is ignored"),
    (r"-errors|other-defaults|every-kind|strategic-patches", r"outcome", r'"4\d\d.*', r'"20\d.*', "open: a broken manifest is accepted"),
    (r"-errors", r"outcome", r'"20\d.*', r'"4\d\d.*', "stricter since 1.20"),
    (r"strategic-patches", r"body\.(metadata\.generation|spec\.template.*|status.*)", None, None, "open: a broken manifest is accepted"),
    (r"-errors", r"body\.details\.group|body\.message", r'"(extensions|.*\.extensions \\".*)"', None, "ingresses and network policies have left extensions"),
    (r"-errors .*events\.k8s\.io", r"body\.(details\.group|message)|body\.details\.causes.*", None, None, "events: named by their own group and fields"),
    (r"-errors", r"body\.message", r'".*(Invalid value: [a-z0-9]+\.[A-Z]|intstr\.|%!|\[\]byte|networking\.|rbac\.|\[\]core|\(nil\)).*', None, "1.3x's words"),
]

ROWS += [
    (r"unknown-paths|discovery", r".*pods/eviction.*version", None, None, "evictions are policy/v1 since 1.22"),
    (r"every-kind .*endpointslices", r"body\.metadata\.generation", None, None, "labels of a slice count since 1.21"),
    (r"persistentvolume", r".*finalizers", None, None, "nothing binds volumes yet, so nothing protects them"),
    (r"-errors|other-defaults", r"(body\.)?(code|reason|message|details.*)", None, None, "open: a refusal names another field or uses other words (that it is refused agrees)"),
]

ROWS += [
    (r"jobs|cronjobs", r"body\.metadata\.generation", NOTHING, r"\d+", "jobs count generations now"),
]

ROWS += [
    (r"lists GET .*continue=", r"outcome", None, None, "tokens are Gantry's own, wrong parameters are the client's fault"),
    (r"pod-defaults POST", r"body\.(message|details\.causes.*)", None, None, "ephemeral volumes since 1.23; ephemeral containers come later"),
    (r"service-defaults PATCH", r"body\.details\.causes.*", None, r".*may not change once set.*", "values are shown as JSON since 1.34"),
    (r"update-errors .*nodes", r"body\.spec\.taints", NOTHING, None, "a node that never spoke is not ready"),
    (r"endpoints GET .*manual$", r"body\.items\[manual-.*", None, None, "mirrored slices are named after what they say"),
    (r"namespaces POST .*namespaces-x", r"code|body\.(code|message|reason|details.*)", None, None, "1.20 remembers a namespace for a moment after it is gone"),
]

ROWS += [
    (r"create-read-update GET", r"body\.rows\[\d+\]\.cells\[\d+\]", r'"\d+s"', r'"\d+s"', "ages"),
    (r"subresources .*/(exec|attach)", r"code|body\..*", r'404|.*"(NotFound|nowhere)".*|"pods .*not found"', None, "a stream without an upgrade is refused before its node is looked for"),
    (r"managed-fields", r".*f:internalTrafficPolicy", NOTHING, None, "fields after 1.20"),
    (r"every-kind PATCH .*/deployments/", r"body\.metadata\.annotations", r'\{"deployment.kubernetes.io/revision": "1"\}', NOTHING, "what a controller adds comes a moment later"),
    (r"update-errors PATCH .*/pods/", r"body\.status\.conditions", r".*PodScheduled.*", None, "what a controller adds comes a moment later"),
    (r"other-defaults GET .*extension-apiserver-authentication", r"body\.data.*", None, None, "the authority; request-header authentication is not served"),
    (r"reviews POST", r"body\.status\.reason", r'"RBAC: allowed by .*', r'"RBAC: allowed by .*', "of several bindings that allow one is named"),
]

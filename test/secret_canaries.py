"""Secrets in the forms in which people leave them lying about in a cluster, each with a value to look for.

Values are built at run time where a scanner for leaked credentials could take them for real ones.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import re
from dataclasses import dataclass
from urllib.parse import quote

Object = dict[str, object]


@dataclass(frozen=True)
class Canary:
    """`text` is planted, `value` must never come out."""

    form: str
    text: str
    value: str


def _jwt() -> str:
    parts = ({"alg": "HS256"}, {"sub": "canary-jwt-subject"})
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        + ".c4n4ry-Sig_nature1"
    )


def _private_key() -> str:
    body = "\n".join("MIIEcanaryPEMbody" + str(line) * 47 for line in range(3))
    return f"-----BEGIN RSA {'PRIVATE'} KEY-----\n{body}\n-----END RSA {'PRIVATE'} KEY-----"


PEM_BODY = "MIIEcanaryPEMbody" + "1" * 47
JWT = _jwt()
AWS_ID = "AKIA" + "CANARY7EXAMPLE23"
GITHUB = "ghp_" + "CanaryCanaryCanaryCanaryCanary012345"
SLACK = "xoxb-" + "123456789012-canarycanarycanary"
STRIPE = "sk_live_" + "canary51H8x9A2b3C4d5E6"
GITLAB = "glpat-" + "CanaryTokenXYZ12345678"
OPENAI = "sk-" + "canaryproj0123456789abcdefABCDEF"
GOOGLE = "AIza" + "SyCanary0123456789abcdefghijklmnopq"

TEXT_FORMS = (
    Canary("assignment", "connecting with password=cnry-assign-1 as bob", "cnry-assign-1"),
    Canary("colon", "password: cnry-colon-2", "cnry-colon-2"),
    Canary("json", '{"user": "bob", "password": "cnry-json-3"}', "cnry-json-3"),
    Canary("json in a sentence", 'payload {"apiKey":"cnry-json-4","n":1} sent', "cnry-json-4"),
    Canary("escaped json", 'body="{\\"client_secret\\":\\"cnry-esc-5\\"}"', "cnry-esc-5"),
    Canary("sentence", "the password is cnry-sentence-6", "cnry-sentence-6"),
    Canary("flag with =", "exec app --db-password=cnry-flag-7 --port=80", "cnry-flag-7"),
    Canary("flag and value", "exec app --api-token cnry-flag-8 --port 80", "cnry-flag-8"),
    Canary("mysql -p", "mysql -uroot -pcnry-mysql-9 shop", "cnry-mysql-9"),
    Canary("curl -u", "curl -u bob:cnry-curl-10 https://api.example", "cnry-curl-10"),
    Canary("redis-cli -a", "redis-cli -h cache -a cnry-redis-11 ping", "cnry-redis-11"),
    Canary("url user info", "postgres://bob:cnry-url-12@db.example:5432/shop", "cnry-url-12"),
    Canary("url password with @", "amqp://bob:cnry@url-13@mq.example/", "url-13"),
    Canary("url password with /", "redis://:cnry/url-14@cache.example:6379/0", "url-14"),
    Canary("url token", f"git clone https://{GITHUB}@git.example/x.git", GITHUB),
    Canary("query parameter", "GET https://api.example/v1?access_token=cnry-query-15&x=1", "cnry-query-15"),
    Canary("bearer", "Authorization: Bearer cnry-Bearer-16.abc", "cnry-Bearer-16"),
    Canary("curl header", "curl -H 'Authorization: Bearer cnry-Bearer-17x' https://api.example", "cnry-Bearer-17x"),
    Canary("basic", "Authorization: Basic " + base64.b64encode(b"bob:cnry-basic-18").decode(), "cnry-basic-18"),
    Canary("cookie", "Cookie: session=cnry-cookie-19; theme=dark", "cnry-cookie-19"),
    Canary("jwt", f"token refreshed {JWT}", JWT),
    Canary("aws key id", f"using {AWS_ID} in eu-west-1", AWS_ID),
    Canary("aws secret", "aws_secret_access_key = cnry/aws+20/abcdefghijklmnopqrstuvwxyz", "cnry/aws+20"),
    Canary("github", f"cloning with {GITHUB}", GITHUB),
    Canary("gitlab", f"registry login {GITLAB} ok", GITLAB),
    Canary("slack", f"posting as {SLACK}", SLACK),
    Canary("stripe", f"charge with {STRIPE}", STRIPE),
    Canary("language model key", f"provider key {OPENAI}", OPENAI),
    Canary("google", f"maps {GOOGLE}", GOOGLE),
    Canary("slack webhook", "POST https://hooks.slack.com/services/T000/B000/cnryhook21", "cnryhook21"),
    Canary("connection string", "Server=db;User Id=sa;Password=cnry-conn-22;Encrypt=true", "cnry-conn-22"),
    Canary("azure storage", "AccountName=shop;AccountKey=cnryAzure23/abcdefgh==;EndpointSuffix=x", "cnryAzure23"),
    Canary("signed url", "https://blob.example/x?se=2026&sig=cnrySig24%2Babcdef", "cnrySig24"),
    Canary("yaml block", "db:\n  password: |\n    cnry-block-25\n  port: 1", "cnry-block-25"),
    Canary("yaml name and value", "env:\n- name: DB_PASSWORD\n  value: cnry-env-26\n", "cnry-env-26"),
    Canary("yaml with spaces", "password: cnry correct horse-27", "horse-27"),
    Canary("properties", "spring.datasource.password=cnry-prop-28", "cnry-prop-28"),
    Canary("xml", "<login><password>cnry-xml-29</password></login>", "cnry-xml-29"),
    Canary("netrc", "machine git.example login bob password cnry-netrc-30", "cnry-netrc-30"),
    Canary("go dsn", "shop:cnry-dsn-31@tcp(db:3306)/shop", "cnry-dsn-31"),
    Canary("private key", _private_key(), PEM_BODY),
    Canary("end of a private key", _private_key().partition("\n")[2], PEM_BODY),
    Canary("escaped private key", json.dumps({"pem": _private_key()}), PEM_BODY),
    Canary("password hash", "bob:$2y$10$cnryHash32abcdefghijklmnopqrstuvwxyz012345", "cnryHash32"),
    Canary("base64 of an assignment", "config " + base64.b64encode(b"db password=cnry-b64-33 end").decode(), "cnry-b64-33"),
    Canary("base64 of a private key", base64.b64encode(_private_key().encode()).decode(), PEM_BODY),
    Canary("percent-encoded", "callback?state=password%3Dcnry-pct-34", "cnry-pct-34"),
    Canary("npmrc", "//registry.example/:_authToken=cnry-npm-35", "cnry-npm-35"),
    Canary(
        "docker config",
        json.dumps({"auths": {"r.example": {"auth": base64.b64encode(b"bob:cnry-dock-36").decode()}}}),
        "cnry-dock-36",
    ),
    Canary("cookie beside a token", f"Cookie: session=cnry-beside-37; jwt={JWT}", "cnry-beside-37"),
    Canary("line with a url", "password: cnry-beside-38 postgres://bob:x@db.example/shop", "cnry-beside-38"),
    Canary("list with a token", f"tokens: [cnry-beside-39, {GITHUB}]", "cnry-beside-39"),
    Canary("block with a token", f"password: |\n  cnry-beside-40\n  {GITHUB}\n", "cnry-beside-40"),
    Canary("beside a mark", "password: ‹redacted:0123456789ab› cnry-mark-41", "cnry-mark-41"),
    Canary("beside a made up mark", "password: ‹redacted: cnry-mark-42", "cnry-mark-42"),
    Canary("url with a made up mark", "postgres://bob:‹redacted:cnry-mark-43@db.example/x", "cnry-mark-43"),
    Canary("flag with a made up mark", "app --password ‹redacted:cnry-mark-44", "cnry-mark-44"),
    Canary("percent-encoded beside a token", f"https://{GITHUB}@x.example/?s=password%3Dcnry-pct-45", "cnry-pct-45"),
    Canary("coloured name", "\x1b[36mpassword\x1b[0m=cnry-colour-46", "cnry-colour-46"),
    Canary("coloured json", '\x1b[34;1m"password"\x1b[0m: \x1b[32m"cnry-colour-47"\x1b[0m', "cnry-colour-47"),
    Canary("json cut off", '{"a":1,"password":"cnry-cut-48 and mor', "cnry-cut-48"),
    Canary("escaped json cut off", 'body="{\\"a\\":1,\\"password\\":\\"cnry-cut-49 and', "cnry-cut-49"),
    Canary("redis flag", "redis-server --requirepass cnry-redis-50 --port 1", "cnry-redis-50"),
    Canary("redis.conf", "bind 0.0.0.0\nrequirepass cnry-redis-51\nport 1", "cnry-redis-51"),
    Canary("login -p", "docker login -u bob -p cnry-login-52 r.example", "cnry-login-52"),
    Canary("ldap -w", "ldapsearch -x -D cn=admin -w cnry-ldap-53 -b dc=x", "cnry-ldap-53"),
    Canary("keytool", "keytool -storepass cnry-store-54 -list", "cnry-store-54"),
    Canary("sql password", "CREATE USER bob WITH PASSWORD 'cnry-sql-55';", "cnry-sql-55"),
    Canary("sql identified by", "CREATE USER bob IDENTIFIED BY 'cnry-sql-56';", "cnry-sql-56"),
    Canary("yaml on the next line", "db:\n  password:\n    cnry-next-57\n", "cnry-next-57"),
    Canary("yaml list", "passwords:\n- cnry-item-58\n- other\n", "cnry-item-58"),
    Canary("toml", 'password = """cnry-toml-59"""', "cnry-toml-59"),
    Canary("xml cdata", "<password><![CDATA[cnry-xml-60]]></password>", "cnry-xml-60"),
    Canary("sentence with colon", "The admin password is: cnry-sentence-61", "cnry-sentence-61"),
    Canary(
        "manifest of a Secret", "kind: Secret\nmetadata:\n  name: a\nstringData:\n  foo: cnry-manifest-62\n", "cnry-manifest-62"
    ),
    Canary(
        "manifest of a Secret in a text",
        f"rendered:\n```yaml\nkind: Secret\ndata:\n  foo: {base64.b64encode(b'cnry-manifest-63').decode()}\n```",
        "cnry-manifest-63",
    ),
)


CONFIGURATION_FORMS = (
    Canary("login without a scheme", "dialing bob:cnry-Addr-70@db.example:5432/shop", "cnry-Addr-70"),
    Canary("key in an address", "GET https://maps.example/api?key=cnryMapsKey71&x=1", "cnryMapsKey71"),
    Canary("token in an address", "http://127.0.0.1:8888/?token=cnry-Notebook-72", "cnry-Notebook-72"),
    Canary("function code", "POST https://f.example/api/x?code=cnryFunctionCode73== done", "cnryFunctionCode73"),
    Canary("SetEnv", "SetEnv DB_PASSWORD cnry-SetEnv-74", "cnry-SetEnv-74"),
    Canary("fastcgi_param", '  fastcgi_param API_TOKEN "cnry-Fast-75";', "cnry-Fast-75"),
    Canary("proxy_set_header", 'proxy_set_header Authorization "Bearer cnry-Proxy-76";', "cnry-Proxy-76"),
    Canary("header of an own name", "  proxy_set_header X-Api-Key cnry-Proxy-77;", "cnry-Proxy-77"),
    Canary("RequestHeader", 'RequestHeader set X-Auth-Token "cnry-Header-78"', "cnry-Header-78"),
    Canary("define", "<?php\ndefine('DB_PASSWORD', 'cnry-Define-79');", "cnry-Define-79"),
    Canary("call with a name", 'ngx.req.set_header("Authorization", "cnry-Lua-80")', "cnry-Lua-80"),
    Canary("export", "set -e\nexport PGPASSWORD='cnry-Export-81' && psql", "cnry-Export-81"),
    Canary("variable of a shell", "set -x API_TOKEN cnry-Fish-82", "cnry-Fish-82"),
    Canary("ENV", "FROM x\nENV DB_PASSWORD cnry-Env-83\n", "cnry-Env-83"),
    Canary("npmrc user", "//r.example/:_password=cnry-Npm-84\n//r.example/:username=bob", "cnry-Npm-84"),
    Canary("netrc in lines", "machine h.example\nlogin bob\naccount x\npassword cnry-Netrc-85\n", "cnry-Netrc-85"),
    Canary("pgpass", "# host:port:db:user\ndb.example:5432:*:bob:cnry-Pgpass-86", "cnry-Pgpass-86"),
    Canary("my.cnf", '[client]\nuser = bob\npassword = "cnry-Mycnf-87"\n', "cnry-Mycnf-87"),
    Canary("htpasswd", "bob:{SSHA}cnryHtpasswd88abcdefgh==", "cnryHtpasswd88"),
    Canary("scram", "SCRAM-SHA-256$4096:cnryScram89abcdefgh==$stored:server", "cnryScram89"),
    Canary("haproxy", "  user admin insecure-password cnry-Haproxy-90", "cnry-Haproxy-90"),
    Canary("redis acl", "user default on >cnry-Acl-91 ~* +@all", "cnry-Acl-91"),
    Canary("pre-shared key", '10.0.0.1 10.0.0.2 : PSK "cnry-Psk-92"', "cnry-Psk-92"),
    Canary("sql set password", "SET PASSWORD FOR 'bob' = 'cnry-Sql-93';", "cnry-Sql-93"),
    Canary("variable of terraform", 'variable "db_password" {\n  default = "cnry-Hcl-94"\n}', "cnry-Hcl-94"),
    Canary("jdbc", "jdbc:oracle:thin:bob/cnry-Jdbc-95@//db:1521/x", "cnry-Jdbc-95"),
    Canary("bot", "https://bots.example/bot123456789:cnry-Bot-96/sendMessage", "cnry-Bot-96"),
    Canary("joined and quoted -p", "mysqldump -u root -p'cnry-Dump-97' shop", "cnry-Dump-97"),
    Canary("sshpass", "sshpass -p 'cnry-Ssh-98' ssh bob@h", "cnry-Ssh-98"),
    Canary("from literal", "kubectl create secret generic x --from-literal=foo=cnry-Literal-99", "cnry-Literal-99"),
    Canary("values of helm", "helm upgrade x c --set db.host=a,auth.postgresPassword=cnry-Set-100", "cnry-Set-100"),
    Canary("vault login", "vault login cnry-Vault-101", "cnry-Vault-101"),
    Canary("alias of a store", "mc alias set m http://h:9000 admin cnry-Minio-102", "cnry-Minio-102"),
    Canary("rabbitmqctl", "rabbitmqctl add_user bob cnry-Rabbit-103", "cnry-Rabbit-103"),
    Canary("system property", "java -Ddb.password=cnry-Java-104 -jar x", "cnry-Java-104"),
    Canary("api key in words", "API key: cnry-Words-105", "cnry-Words-105"),
    Canary("password for somebody", "Password for user admin: cnry-Words-106", "cnry-Words-106"),
    Canary("with password", "Log in with username admin and password cnry-Words-107", "cnry-Words-107"),
    Canary("generated for", "A temporary password is generated for root@localhost: cnry-Words-108", "cnry-Words-108"),
    Canary("base64 of json", base64.b64encode(b'{"user":"bob","password":"cnry-B64-109"}').decode(), "cnry-B64-109"),
    Canary("base64 after a name", "config=" + base64.b64encode(b"password=cnry-B64-110").decode(), "cnry-B64-110"),
    Canary("base64 of a login", "auth " + base64.b64encode(b"bob:cnry-B64-111").decode(), "cnry-B64-111"),
    Canary(
        "base64 in lines",
        "\n".join(
            re.findall(".{1,64}", base64.b64encode(b"comment: " + b"many words " * 9 + b"\npassword: cnry-B64-112").decode())
        ),
        "cnry-B64-112",
    ),
    Canary(
        "base64 of a kubeconfig",
        base64.b64encode(b"apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user:\n    token: cnry-B64-113\n").decode(),
        "cnry-B64-113",
    ),
    Canary("kubeconfig", "kind: Config\nusers:\n- name: a\n  user:\n    client-key-data: cnry-Kube-114\n", "cnry-Kube-114"),
    Canary("collection in braces", '{"credentials":{"db":{"main":"cnry-Nested-115"}}}', "cnry-Nested-115"),
    Canary("collection in a sentence", 'loaded {"secrets":{"db":{"main":"cnry-Nested-116"}}} ok', "cnry-Nested-116"),
    Canary("collection on a line", "credentials: {db: {main: cnry-Nested-117}}", "cnry-Nested-117"),
    Canary("other way to write a key", "? password\n: cnry-Yaml-118", "cnry-Yaml-118"),
    Canary("collection in yaml", "app:\n  credentials:\n    db:\n      main: cnry-Nested-119\n  port: 1\n", "cnry-Nested-119"),
    Canary("collection in toml", '[credentials.db]\nmain = "cnry-Nested-120"\n', "cnry-Nested-120"),
)
TEXT_FORMS += CONFIGURATION_FORMS

_HIVE = "javax.jdo.option.ConnectionPassword"
LINE_FORMS = (
    Canary("fluent bit", "[OUTPUT]\n    Name es\n    HTTP_Passwd cnry-Line-121\n    tls On\n", "cnry-Line-121"),
    Canary("words in fluent bit", "[OUTPUT]\n    shared_key cnry correct horse122\n", "horse122"),
    Canary("header of fluent bit", "[OUTPUT]\n    Header X-Api-Key cnry-Line-123\n", "cnry-Line-123"),
    Canary("token of fluent bit", "[OUTPUT]\n    bearer_token cnryletters\n", "cnryletters"),
    Canary("fluentd", "<match **>\n  user elastic\n  password cnryworda\n</match>\n", "cnryworda"),
    Canary("fluentd in quotes", '<match **>\n  aws_sec_key "cnry/Line/126xYz"\n</match>\n', "cnry/Line/126xYz"),
    Canary("name and value on a line", "secret_access_key cnry-Line-127", "cnry-Line-127"),
    Canary("line with a made up value", "mode shared\npassword cnry-Line-128\n", "cnry-Line-128"),
    Canary("slapd.conf", "rootdn cn=admin\nrootpw cnrywordb\n", "cnrywordb"),
    Canary("ldap.conf", "bindpw cnrywordc\n", "cnrywordc"),
    Canary("keepalived", "authentication {\n  auth_type PASS\n  auth_pass 73019431\n}\n", "73019431"),
)
XML_FORMS = (
    Canary("hive", f"<name>{_HIVE}</name>\n <value>cnry-Xml-130</value>", "cnry-Xml-130"),
    Canary("hive the other way", f"<value>cnry-Xml-131</value>\n <name>{_HIVE}</name>", "cnry-Xml-131"),
    Canary("hive described", f"<name>{_HIVE}</name><description>x</description><value>cnry-Xml-132</value>", "cnry-Xml-132"),
    Canary("java properties in xml", '<entry key="db.password">cnry-Xml-133</entry>', "cnry-Xml-133"),
    Canary("value in a property", '<property name="password"><value>cnry-Xml-134</value></property>', "cnry-Xml-134"),
    Canary("attributes below others", '<entry key="db.password">x</entry>\n<p value="cnry-Xml-138" name="pwd"/>', "cnry-Xml-138"),
    Canary("attributes the other way", '<property value="cnry-Xml-135" name="password"/>', "cnry-Xml-135"),
    Canary("web.xml", "<param-name>dbPassword</param-name><param-value>cnry-Xml-136</param-value>", "cnry-Xml-136"),
    Canary("property list", "<key>a</key><string>b</string><key>apiToken</key><string>cnry-Xml-137</string>", "cnry-Xml-137"),
)
RECORD_FORMS = (
    Canary("yaml value and name", "env:\n- value: cnry-Pair-140\n  name: DB_PASSWORD\n- name: A\n  value: b\n", "cnry-Pair-140"),
    Canary("yaml block and name", "- value: |\n    cnry-Pair-141\n  name: DB_PASSWORD\n", "cnry-Pair-141"),
    Canary("json value and name", 'saw {"value":"cnry-Pair-142","name":"DB_PASSWORD"} there', "cnry-Pair-142"),
    Canary("json value and key", 'saw {"value":"cnry-Pair-143", "n":1, "key":"password"} there', "cnry-Pair-143"),
    Canary("escaped json value and key", 'b="{\\"value\\":\\"cnry-Pair-144\\",\\"key\\":\\"password\\"}"', "cnry-Pair-144"),
    Canary("json patch", 'sent [{"op":"replace","path":"/data/password","value":"cnry-Pair-145"}]', "cnry-Pair-145"),
    Canary("json patch in yaml", "- op: add\n  path: /data/credentials/main\n  value: cnry-Pair-146\n", "cnry-Pair-146"),
    Canary("json patch the other way", "- value: cnry-Pair-147\n  op: add\n  path: /data/password\n", "cnry-Pair-147"),
    Canary("key beside name", '{"name":"shop","value":"cnry-Pair-148","key":"password"} read', "cnry-Pair-148"),
    Canary("json over lines", 'x: {\n  "value": "cnry-Pair-149",\n  "name": "DB_PASSWORD"\n}', "cnry-Pair-149"),
)
TEXT_FORMS += LINE_FORMS + XML_FORMS + RECORD_FORMS

OBJECT_FORMS: tuple[tuple[str, Object, str], ...] = (
    ("nested collection", {"credentials": {"db": {"main": "cnry-Obj-200"}}}, "cnry-Obj-200"),
    ("list in a collection", {"credentials": {"db": ["cnry-Obj-201"]}}, "cnry-Obj-201"),
    ("collections in a list", {"secrets": [{"db": {"main": "cnry-Obj-202"}}]}, "cnry-Obj-202"),
    ("token as a key", {"apiTokens": {"cnryTokenAsKey203X": {"user": "bob"}}}, "cnryTokenAsKey203X"),
    ("address as a key", {"databases": {"postgres://bob:cnry-Obj-204@db/x": "x"}}, "cnry-Obj-204"),
    ("jwt as a key", {"seen": {JWT: "bob"}}, JWT),
    ("value under a secret name", {"auth": {"value": "cnry-Obj-205"}}, "cnry-Obj-205"),
    ("key without a name", {"apiKeys": [{"key": "cnry-Obj206x"}]}, "cnry-Obj206x"),
    ("default of a parameter", {"parameters": [{"name": "db-password", "default": "cnry-Obj-207"}]}, "cnry-Obj-207"),
    ("pair in capitals", {"tags": [{"Name": "DbPassword", "Value": "cnry-Obj-208"}]}, "cnry-Obj-208"),
    ("list as a value", {"params": [{"name": "token", "value": ["cnry-Obj-209"]}]}, "cnry-Obj-209"),
    ("env as a mapping", {"env": {"DB": {"value": "cnry-Obj-210"}}}, "cnry-Obj-210"),
    ("stringData elsewhere", {"template": {"stringData": {"foo": "cnry-Obj-211"}}}, "cnry-Obj-211"),
    ("literals", {"secretGenerator": [{"name": "x", "literals": ["foo=cnry-Obj-212"]}]}, "cnry-Obj-212"),
    ("split command line", {"args": ["mysql", "-uroot", "-pcnry-Obj-213"]}, "cnry-Obj-213"),
    ("flag and value", {"args": ["--admin-password", "cnry-Obj-214"]}, "cnry-Obj-214"),
    ("login of vault", {"command": ["vault", "login", "cnry-Obj-215"]}, "cnry-Obj-215"),
    ("numbers", {"passwords": {"bob": 7301943}}, "7301943"),
    ("yaml in a string", {"values": "credentials:\n  db:\n    main: cnry-Obj-216\n"}, "cnry-Obj-216"),
    ("json in a string", {"config": json.dumps({"credentials": {"db": {"main": "cnry-Obj-217"}}})}, "cnry-Obj-217"),
    (
        "gzip in a string",
        {"blob": base64.b64encode(gzip.compress(b'{"password":"cnry-Obj-218"}', mtime=0)).decode()},
        "cnry-Obj-218",
    ),
    ("json patch", {"patch": [{"op": "replace", "path": "/data/password", "value": "cnry-Obj-220"}]}, "cnry-Obj-220"),
    ("path in a collection", {"patch": [{"op": "add", "path": "/a/tokens/0", "value": "cnry-Obj-221"}]}, "cnry-Obj-221"),
    ("string beside name", {"set": [{"name": "db.password", "string": "cnry-Obj-222"}]}, "cnry-Obj-222"),
    ("variable", {"set": [{"variable": "DB_PASSWORD", "value": "cnry-Obj-223"}]}, "cnry-Obj-223"),
    ("parameter", {"set": [{"parameterName": "dbPassword", "parameterValue": "cnry-Obj-224"}]}, "cnry-Obj-224"),
    ("mapping as a value", {"params": [{"name": "git-token", "value": {"a": {"b": "cnry-Obj-225"}}}]}, "cnry-Obj-225"),
    ("list of mappings as a value", {"params": [{"name": "git-token", "value": [{"a": "cnry-Obj-226"}]}]}, "cnry-Obj-226"),
    ("key beside a name", {"set": [{"name": "shop", "key": "password", "value": "cnry-Obj-227"}]}, "cnry-Obj-227"),
    ("user data", {"userData": "#cloud-config\nchpasswd:\n  list: |\n    root:cnry-Obj-219\n"}, "cnry-Obj-219"),
)
"""Fields of an object, and the value that must not come out of it."""


def forms_of(value: str) -> dict[str, str]:
    """The value as it could come out: as it is, base64 (all three alignments), hexadecimal, percent-encoded, JSON-escaped."""
    raw = value.encode()
    aligned = {f"base64 at {shift}": base64.b64encode(b"\0" * shift + raw).decode()[4 if shift else 0 : -4] for shift in range(3)}
    return {
        "raw": value,
        "url": quote(value, safe=""),
        "hex": binascii.hexlify(raw).decode(),
        "json": json.dumps(value)[1:-1],
        **{name: text for name, text in aligned.items() if len(text) >= 8},
    }


def leaks(output: str, value: str) -> list[str]:
    """The forms in which the value occurs in an output."""
    return [form for form, text in forms_of(value).items() if text in output]

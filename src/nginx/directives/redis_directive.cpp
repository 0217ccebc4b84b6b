// Reads ai_limit_redis.

#include <fcntl.h>

#include "nginx/conf/conf_words.h"
#include "nginx/conf/config.h"
#include "nginx/conf/live_redis.h"
#include "nginx/conf/policy_words.h"
#include "nginx/directives/directives.h"

namespace ai_limit {

namespace {

constexpr in_port_t kDefaultPort = 6379;
constexpr ngx_int_t kMostDatabases = 1'000'000;
constexpr size_t kMaxPassword = 4096;
constexpr ngx_uint_t kMostHosts = 64;

/** The directive while its words are read. */
struct RedisReader {
    RedisConf* redis;
    unsigned seen;      // by the rows of kParameters
    ngx_array_t hosts;  // of RedisHost
    ngx_uint_t urls;
    ngx_str_t url, second_url;
    ngx_str_t database;  // the address that names one
    ngx_int_t first_database;
    bool tls;
    ngx_str_t needs_tls;  // a word that only makes sense with it
    ngx_str_t trusted_certificate;
};

/** A parameter's name; its value may be a password. */
ngx_str_t name_of(ngx_str_t word) {
    size_t equals = view(word).find('=');
    return equals != std::string_view::npos ? to_ngx(view(word).substr(0, equals + 1)) : word;
}

char* mistake_in_secret(ngx_conf_t* cf) {
    return mistake(cf, "user and password cannot stand in the address", ngx_string("@"),
                   ", use user= and password_file=");
}

/** A copy with a zero behind it, as OpenSSL wants it, and without IPv6's brackets. */
char* copy_host(ngx_conf_t* cf, std::string_view host, ngx_str_t* copy) {
    if (host.size() > 2 && host.front() == '[') {
        host = host.substr(1, host.size() - 2);
    }
    u_char* text = static_cast<u_char*>(ngx_pnalloc(cf->pool, host.size() + 1));
    if (text == nullptr) {
        return error_result();
    }
    ngx_memcpy(text, host.data(), host.size());
    text[host.size()] = '\0';
    *copy = {host.size(), text};
    return NGX_CONF_OK;
}

/** A name is resolved when it is known whether there is a resolver: resolve_redis_hosts(). */
char* add_host(ngx_conf_t* cf, ngx_str_t word, std::string_view text, RedisReader* reader) {
    ngx_url_t url{};
    url.url = to_ngx(text);
    url.default_port = kDefaultPort;
    url.no_resolve = 1;
    if (ngx_parse_url(cf->pool, &url) != NGX_OK) {
        return mistake(cf, url.err != nullptr ? url.err : "invalid address", word);
    }
    if (url.host.len > kMaxHost) {
        return mistake(cf, "too long a name in", word);
    }
    RedisHost* host = static_cast<RedisHost*>(ngx_array_push(&reader->hosts));
    u_char* name = static_cast<u_char*>(ngx_pnalloc(cf->pool, url.host.len + sizeof(":65535")));
    if (host == nullptr || name == nullptr) {
        return error_result();
    }
    *host = {};
    host->word = word;
    host->port = url.port;
    host->is_name = url.naddrs == 0;
    host->addresses = url.addrs;
    host->count = url.naddrs;
    u_char* end = ngx_sprintf(name, "%V:%ui", &url.host, ngx_uint_t{url.port});
    host->name = {static_cast<size_t>(end - name), name};
    return copy_host(cf, view(url.host), &host->host);
}

char* read_database(ngx_conf_t* cf, ngx_str_t word, ngx_str_t number, RedisReader* reader) {
    ngx_int_t* database = &reader->redis->access.database;
    *database = ngx_atoi(number.data, number.len);
    if (*database == NGX_ERROR || *database > kMostDatabases) {
        return mistake(cf, "invalid number of a database in", word);
    }
    if (reader->database.len != 0 && reader->first_database != *database) {
        return mistake(cf, "another database than before in", word);
    }
    reader->database = word;
    reader->first_database = *database;
    return NGX_CONF_OK;
}

/** `redis://host:port/db`, `rediss://…` or `unix:/path`. */
char* read_url(ngx_conf_t* cf, ngx_str_t word, RedisReader* reader) {
    static constexpr std::string_view kPlain = "redis://";
    static constexpr std::string_view kTls = "rediss://";
    std::string_view text = view(word);
    bool tls = text.substr(0, kTls.size()) == kTls;
    if (++reader->urls == 1) {
        reader->url = word;
        reader->tls = tls;
    } else if (reader->urls == 2) {
        reader->second_url = word;
    }
    if (tls != reader->tls) {
        return mistake(cf, "some addresses with TLS and some without, such as", word);
    }
    if (text.substr(0, 5) == "unix:") {
        return add_host(cf, word, text, reader);
    }
    text.remove_prefix(tls ? kTls.size() : kPlain.size());
    if (text.find('@') != std::string_view::npos) {
        return mistake_in_secret(cf);
    }
    size_t slash = text.find('/');
    if (slash != std::string_view::npos && slash + 1 < text.size()) {
        char* result = read_database(cf, word, to_ngx(text.substr(slash + 1)), reader);
        if (result != NGX_CONF_OK) {
            return result;
        }
    }
    return add_host(cf, word, text.substr(0, slash), reader);
}

char* read_sentinel(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, RedisReader* reader) {
    reader->redis->servers.sentinel_name = value;
    return value.len != 0 ? NGX_CONF_OK
                          : mistake(cf, "no name in", word, ", expected the name of the master");
}

char* read_user(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, RedisReader* reader) {
    reader->redis->access.user = value;
    return value.len != 0 ? NGX_CONF_OK : mistake(cf, "no user in", word);
}

/** Takes what `name` gave, and does not show it. */
char* take_password(ngx_conf_t* cf, ngx_str_t name, ngx_str_t value, RedisReader* reader) {
    if (reader->redis->access.password.len != 0) {
        return mistake(cf, "a second password in", name);
    }
    reader->redis->access.password = value;
    return value.len != 0 ? NGX_CONF_OK : mistake(cf, "no password in", name);
}

char* read_password(ngx_conf_t* cf, ngx_str_t, ngx_str_t value, RedisReader* reader) {
    return take_password(cf, ngx_string("password="), value, reader);
}

/** The first line of the file. */
char* read_password_file(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, RedisReader* reader) {
    if (value.len == 0) {
        return mistake(cf, "no file in", word);
    }
    if (ngx_conf_full_name(cf->cycle, &value, 1) != NGX_OK) {
        return error_result();
    }
    u_char* text = static_cast<u_char*>(ngx_pnalloc(cf->pool, kMaxPassword));
    if (text == nullptr) {
        return error_result();
    }
    ngx_fd_t fd = ngx_open_file(value.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    ssize_t size = fd != NGX_INVALID_FILE ? ngx_read_fd(fd, text, kMaxPassword) : -1;
    if (size < 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno, "ai_limit_redis: cannot read \"%V\"",
                           &value);
    }
    if (fd != NGX_INVALID_FILE) {
        ngx_close_file(fd);
    }
    if (size < 0) {
        return error_result();
    }
    std::string_view line(reinterpret_cast<char*>(text), static_cast<size_t>(size));
    line = line.substr(0, line.find_first_of("\r\n"));
    if (line.empty()) {
        return mistake(cf, "no password in the first line of the file of", word);
    }
    return take_password(cf, ngx_string("password_file="), to_ngx(line), reader);
}

char* read_prefix(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, RedisReader* reader) {
    bool fine = value.len != 0 && value.len <= kMaxRedisPrefix;
    for (char c : view(value)) {
        fine = fine && c > ' ' && c < 0x7f && c != '{' && c != '}';
    }
    if (!fine) {
        return mistake(cf, "invalid prefix", word,
                       ", expected up to 64 visible characters but \"{\" and \"}\"");
    }
    reader->redis->servers.prefix = value;
    return NGX_CONF_OK;
}

char* read_sync(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, RedisReader* reader) {
    if (!parse_sync(value, &reader->redis->syncing)) {
        return mistake(cf, "invalid value", word,
                       ", expected sync=strict, sync=off or a time from 1ms to 10s");
    }
    return NGX_CONF_OK;
}

char* read_time(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, ngx_msec_t* time) {
    ngx_int_t parsed = ngx_parse_time(&value, 0);
    if (parsed == NGX_ERROR || parsed == 0) {
        return mistake(cf, "invalid time", word, ", expected a time such as 50ms");
    }
    *time = static_cast<ngx_msec_t>(parsed);
    return NGX_CONF_OK;
}

char* read_connect_timeout(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, RedisReader* reader) {
    return read_time(cf, word, value, &reader->redis->access.connect_timeout);
}

char* read_timeout(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, RedisReader* reader) {
    return read_time(cf, word, value, &reader->redis->access.timeout);
}

char* read_on_failure(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, RedisReader* reader) {
    OnFailure* on_failure = &reader->redis->on_failure;
    if (view(value) == "local") {
        *on_failure = OnFailure::kLocal;
    } else if (view(value) == "allow") {
        *on_failure = OnFailure::kAllow;
    } else if (view(value) == "reject") {
        *on_failure = OnFailure::kReject;
    } else {
        return mistake(cf, "invalid value", word, ", expected on_failure=local, allow or reject");
    }
    return NGX_CONF_OK;
}

char* read_trusted_certificate(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value,
                               RedisReader* reader) {
    reader->needs_tls = word;
    reader->trusted_certificate = value;
    return value.len != 0 ? NGX_CONF_OK : mistake(cf, "no file in", word);
}

char* read_verify(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, RedisReader* reader) {
    if (view(value) != "on" && view(value) != "off") {
        return mistake(cf, "invalid value", word, ", expected ssl_verify=on or off");
    }
    reader->needs_tls = word;
    reader->redis->access.ssl_verify = view(value) == "on";
    return NGX_CONF_OK;
}

constexpr struct {
    std::string_view name;  // with its "="
    char* (*read)(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, RedisReader* reader);
} kParameters[] = {
    {"user=", read_user},
    {"password=", read_password},
    {"password_file=", read_password_file},
    {"sentinel=", read_sentinel},
    {"prefix=", read_prefix},
    {"sync=", read_sync},
    {"connect_timeout=", read_connect_timeout},
    {"timeout=", read_timeout},
    {"on_failure=", read_on_failure},
    {"ssl_trusted_certificate=", read_trusted_certificate},
    {"ssl_verify=", read_verify},
};

char* read_word(ngx_conf_t* cf, ngx_str_t word, RedisReader* reader) {
    for (std::string_view scheme : {"redis://", "rediss://", "unix:"}) {
        if (view(word).substr(0, scheme.size()) == scheme) {
            return read_url(cf, word, reader);
        }
    }
    if (view(word) == "cluster") {
        if (reader->redis->servers.cluster) {
            return mistake(cf, "duplicate parameter", word);
        }
        reader->redis->servers.cluster = true;
        return NGX_CONF_OK;
    }
    for (size_t i = 0; i < sizeof(kParameters) / sizeof(kParameters[0]); ++i) {
        ngx_str_t value;
        if (!value_of(word, kParameters[i].name, &value)) {
            continue;
        }
        if (reader->seen & 1u << i) {
            return mistake(cf, "duplicate parameter", name_of(word));
        }
        reader->seen |= 1u << i;
        return kParameters[i].read(cf, word, value, reader);
    }
    if (view(word).find('@') != std::string_view::npos) {
        return mistake_in_secret(cf);
    }
    return mistake(cf, "invalid parameter", name_of(word),
                   ", expected redis://host:port/db, rediss://host:port/db, unix:/path or a "
                   "parameter");
}

#if (NGX_SSL)

/** One context for all connections; nginx frees it with the configuration. */
char* make_tls(ngx_conf_t* cf, RedisReader* reader) {
    ngx_ssl_t* ssl = allocate<ngx_ssl_t>(cf);
    if (ssl == nullptr) {
        return error_result();
    }
    ssl->log = cf->log;
    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2 | NGX_SSL_TLSv1_3, nullptr) != NGX_OK) {
        return error_result();
    }
    ngx_pool_cleanup_t* cleanup = ngx_pool_cleanup_add(cf->pool, 0);
    if (cleanup == nullptr) {
        ngx_ssl_cleanup_ctx(ssl);
        return error_result();
    }
    cleanup->handler = ngx_ssl_cleanup_ctx;
    cleanup->data = ssl;
    constexpr ngx_int_t kChainDepth = 4;
    if (reader->trusted_certificate.len != 0) {
        if (ngx_ssl_trusted_certificate(cf, ssl, &reader->trusted_certificate, kChainDepth) !=
            NGX_OK) {
            return mistake(cf, "no certificates to use in", reader->trusted_certificate);
        }
    } else if (SSL_CTX_set_default_verify_paths(ssl->ctx) != 1) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0, const_cast<char*>("ai_limit_redis: no trust"));
        return error_result();
    }
    reader->redis->access.ssl = ssl;
    return NGX_CONF_OK;
}

#else

char* make_tls(ngx_conf_t* cf, RedisReader* reader) {
    return mistake(cf, "this nginx was built without TLS for", reader->url);
}

#endif

char* check_servers(ngx_conf_t* cf, const RedisReader& reader) {
    const RedisServers& servers = reader.redis->servers;
    bool sentinels = servers.sentinel_name.len != 0;
    if (reader.urls == 0) {
        return mistake(cf, "no address but", name_of(arguments(cf)[0]),
                       ", expected redis://host:port/db, rediss://host:port/db or unix:/path");
    }
    if (sentinels && servers.cluster) {
        return mistake(cf, "cluster cannot be combined with sentinel=", servers.sentinel_name);
    }
    if (reader.urls > 1 && !sentinels && !servers.cluster) {
        return mistake(cf, "several addresses without cluster or sentinel=, such as",
                       reader.second_url);
    }
    if (servers.cluster && reader.redis->access.database != 0) {
        return mistake(cf, "a cluster has no databases but 0, unlike", reader.database);
    }
    return NGX_CONF_OK;
}

char* finish(ngx_conf_t* cf, RedisReader* reader) {
    RedisConf* redis = reader->redis;
    char* result = check_servers(cf, *reader);
    if (result != NGX_CONF_OK) {
        return result;
    }
    redis->servers.hosts = static_cast<RedisHost*>(reader->hosts.elts);
    redis->servers.count = reader->hosts.nelts;
    if (redis->servers.count > kMostHosts) {
        return mistake(cf, "more than 64 addresses, the first being", reader->url);
    }
    if (redis->access.user.len != 0 && redis->access.password.len == 0) {
        return mistake(cf, "no password= or password_file= for", redis->access.user);
    }
    if (!reader->tls && reader->needs_tls.len != 0) {
        return mistake(cf, "only rediss:// can have", reader->needs_tls);
    }
    return reader->tls ? make_tls(cf, reader) : NGX_CONF_OK;
}

}  // namespace

char* ngx_http_ai_limit_redis(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    MainConf* main = static_cast<MainConf*>(conf);
    if (main->redis != nullptr) {
        return const_cast<char*>("is duplicate");
    }
    RedisConf* redis = allocate<RedisConf>(cf);
    LiveRedis* live = allocate<LiveRedis>(cf);
    if (redis == nullptr || live == nullptr) {
        return error_result();
    }
    redis->live = live;
    live->conf = redis;
    redis->servers.prefix = ngx_string("ai_limit");
    redis->syncing = {Sync::kEvery, kUsualInterval};
    redis->access.connect_timeout = 100;
    redis->access.timeout = 50;
    redis->access.ssl_verify = true;
    RedisReader reader{};
    reader.redis = redis;
    if (ngx_array_init(&reader.hosts, cf->pool, 4, sizeof(RedisHost)) != NGX_OK) {
        return error_result();
    }
    for (ngx_uint_t i = 0; i < argument_count(cf); ++i) {
        char* result = read_word(cf, arguments(cf)[i], &reader);
        if (result != NGX_CONF_OK) {
            return result;
        }
    }
    main->redis_position = position_of(cf);
    main->redis = redis;
    return finish(cf, &reader);
}

}  // namespace ai_limit

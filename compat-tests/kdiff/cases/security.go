package cases

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
)

// security covers ACLs without an authorizer, delegation tokens without a
// secret, SCRAM credentials and client quotas.
func security(l *diff.List) {
	l.Each("ACL/disabled", "ACL-11", diff.Range(1, 3), func(t *diff.T, v int16) {
		c := t.Dial()
		diff.Do(c, "describe", v, describeACLs(func(*kmsg.DescribeACLsRequest) {}))
		create := kmsg.NewPtrCreateACLsRequest()
		create.Creations = append(create.Creations, topicACL(t.Name("t")), topicACL(t.Name("u")))
		diff.Do(c, "create", v, create)
		remove := kmsg.NewPtrDeleteACLsRequest()
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourcePatternType, f.Operation, f.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		remove.Filters = append(remove.Filters, f)
		diff.Do(c, "delete", v, remove)
	})
	l.Add("ACL/unknown_enums", "ACL-14", func(t *diff.T) {
		diff.Try(t.Dial(), "unknown operation", 2, describeACLs(func(r *kmsg.DescribeACLsRequest) { r.Operation = kmsg.ACLOperationUnknown }))
		diff.Try(t.Dial(), "unknown type", 2, describeACLs(func(r *kmsg.DescribeACLsRequest) { r.ResourceType = 99 }))
		diff.Try(t.Dial(), "match pattern at v1", 1, describeACLs(func(r *kmsg.DescribeACLsRequest) { r.ResourcePatternType = kmsg.ACLResourcePatternTypeMatch }))
	})
	tokens(l)
	scram(l)
	quotas(l)
}

func describeACLs(change func(*kmsg.DescribeACLsRequest)) *kmsg.DescribeACLsRequest {
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	change(req)
	return req
}

func topicACL(topic string) kmsg.CreateACLsRequestCreation {
	acl := kmsg.NewCreateACLsRequestCreation()
	acl.ResourceType, acl.ResourceName, acl.ResourcePatternType = kmsg.ACLResourceTypeTopic, topic, kmsg.ACLResourcePatternTypeLiteral
	acl.Principal, acl.Host = "User:alice", "*"
	acl.Operation, acl.PermissionType = kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow
	return acl
}

func tokens(l *diff.List) {
	l.Each("DTOK/disabled", "DTOK-01 DTOK-02", diff.Range(1, 3), func(t *diff.T, v int16) {
		c := t.Dial()
		create := kmsg.NewPtrCreateDelegationTokenRequest()
		create.MaxLifetimeMillis = -1
		diff.Do(c, "create", v, create)
		renew := kmsg.NewPtrRenewDelegationTokenRequest()
		renew.HMAC = []byte("hmac")
		diff.Do(c, "renew", min(v, 2), renew)
		expire := kmsg.NewPtrExpireDelegationTokenRequest()
		expire.HMAC = []byte("hmac")
		diff.Do(c, "expire", min(v, 2), expire)
		diff.Do(c, "describe", v, kmsg.NewPtrDescribeDelegationTokenRequest())
	})
}

func scram(l *diff.List) {
	put := func(user string, mechanism int8, iterations int32) *kmsg.AlterUserSCRAMCredentialsRequest {
		req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
		u := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
		u.Name, u.Mechanism, u.Iterations = user, mechanism, iterations
		u.Salt, u.SaltedPassword = []byte("saltsaltsalt"), []byte("0123456789abcdef0123456789abcdef")
		req.Upsertions = append(req.Upsertions, u)
		return req
	}
	remove := func(user string, mechanism int8) *kmsg.AlterUserSCRAMCredentialsRequest {
		req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
		d := kmsg.NewAlterUserSCRAMCredentialsRequestDeletion()
		d.Name, d.Mechanism = user, mechanism
		req.Deletions = append(req.Deletions, d)
		return req
	}
	describe := func(users ...string) *kmsg.DescribeUserSCRAMCredentialsRequest {
		req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
		for _, user := range users {
			u := kmsg.NewDescribeUserSCRAMCredentialsRequestUser()
			u.Name = user
			req.Users = append(req.Users, u)
		}
		return req
	}
	l.Add("SCRAM/life", "ADM-03 SASL-08", func(t *diff.T) {
		c := t.Dial()
		user := t.Name("alice")
		diff.Do(c, "describe nobody", 0, describe(user))
		diff.Do(c, "put 256", 0, put(user, 1, 4096))
		diff.Do(c, "put 512", 0, put(user, 2, 8192))
		settle(t)
		diff.Do(c, "describe", 0, describe(user))
		diff.Do(c, "describe all", 0, describe(), diff.Own("Results"))
		diff.Do(c, "describe twice", 0, describe(user, user, t.Name("nobody")))
		diff.Do(c, "remove 256", 0, remove(user, 1))
		diff.Do(c, "remove it again", 0, remove(user, 1))
		settle(t)
		diff.Do(c, "describe the rest", 0, describe(user))
		diff.Do(c, "remove 512", 0, remove(user, 2))
	})
	for name, req := range map[string]func(*diff.T) *kmsg.AlterUserSCRAMCredentialsRequest{
		"too_few_iterations":  func(t *diff.T) *kmsg.AlterUserSCRAMCredentialsRequest { return put(t.Name("u"), 1, 4095) },
		"too_many_iterations": func(t *diff.T) *kmsg.AlterUserSCRAMCredentialsRequest { return put(t.Name("u"), 1, 16385) },
		"unknown_mechanism":   func(t *diff.T) *kmsg.AlterUserSCRAMCredentialsRequest { return put(t.Name("u"), 3, 4096) },
		"empty_name":          func(*diff.T) *kmsg.AlterUserSCRAMCredentialsRequest { return put("", 1, 4096) },
		"put_and_remove": func(t *diff.T) *kmsg.AlterUserSCRAMCredentialsRequest {
			r := put(t.Name("u"), 1, 4096)
			r.Deletions = remove(t.Name("u"), 1).Deletions
			return r
		},
	} {
		l.Add("SCRAM/refused/"+name, "ADM-03", func(t *diff.T) {
			diff.Do(t.Dial(), "alter", 0, req(t))
		})
	}
}

// quota changes one key of an entity written as type, name, type, name; the
// name "" is the default entity.
func quota(key string, value float64, remove bool, entity ...string) *kmsg.AlterClientQuotasRequest {
	req := kmsg.NewPtrAlterClientQuotasRequest()
	e := kmsg.NewAlterClientQuotasRequestEntry()
	for i := 0; i+1 < len(entity); i += 2 {
		part := kmsg.NewAlterClientQuotasRequestEntryEntity()
		part.Type = entity[i]
		if entity[i+1] != "" {
			part.Name = &entity[i+1]
		}
		e.Entity = append(e.Entity, part)
	}
	op := kmsg.NewAlterClientQuotasRequestEntryOp()
	op.Key, op.Value, op.Remove = key, value, remove
	e.Ops = append(e.Ops, op)
	req.Entries = append(req.Entries, e)
	return req
}

func describeQuotas(strict bool, components ...string) *kmsg.DescribeClientQuotasRequest {
	req := kmsg.NewPtrDescribeClientQuotasRequest()
	req.Strict = strict
	for i := 0; i+1 < len(components); i += 2 {
		c := kmsg.NewDescribeClientQuotasRequestComponent()
		c.EntityType, c.MatchType = components[i], kmsg.QuotasMatchTypeExact
		switch name := components[i+1]; name {
		case "":
			c.MatchType = kmsg.QuotasMatchTypeDefault
		case "*":
			c.MatchType = kmsg.QuotasMatchTypeAny
		default:
			c.Match = &name
		}
		req.Components = append(req.Components, c)
	}
	return req
}

func quotas(l *diff.List) {
	l.Each("QUOTA/life", "QUOTA-01 QUOTA-11", diff.Range(0, 1), func(t *diff.T, v int16) {
		c := t.Dial()
		user, client := t.Name("u"), t.Name("c")
		diff.Do(c, "set user", v, quota("producer_byte_rate", 1e9, false, "user", user))
		diff.Do(c, "set pair", v, quota("request_percentage", 2000.5, false, "user", user, "client-id", client))
		settle(t)
		diff.Do(c, "user", v, describeQuotas(false, "user", user))
		diff.Do(c, "user alone", v, describeQuotas(true, "user", user))
		diff.Do(c, "pair", v, describeQuotas(true, "user", user, "client-id", client))
		diff.Do(c, "any client", v, describeQuotas(false, "client-id", "*"), diff.Own("Entries"))
		diff.Do(c, "remove", v, quota("producer_byte_rate", 0, true, "user", user))
		diff.Do(c, "remove pair", v, quota("request_percentage", 0, true, "user", user, "client-id", client))
		settle(t)
		diff.Do(c, "nothing left", v, describeQuotas(false, "user", user))
	})
	for name, req := range map[string]func(*diff.T) *kmsg.AlterClientQuotasRequest{
		"unknown_key": func(t *diff.T) *kmsg.AlterClientQuotasRequest {
			return quota("no_such_rate", 1, false, "user", t.Name("u"))
		},
		"unknown_type": func(t *diff.T) *kmsg.AlterClientQuotasRequest {
			return quota("producer_byte_rate", 1, false, "planet", t.Name("u"))
		},
		"no_entity": func(*diff.T) *kmsg.AlterClientQuotasRequest { return quota("producer_byte_rate", 1, false) },
		"ip_with_user": func(t *diff.T) *kmsg.AlterClientQuotasRequest {
			return quota("connection_creation_rate", 1, false, "ip", "10.1.2.3", "user", t.Name("u"))
		},
		"ip_wrong_key": func(*diff.T) *kmsg.AlterClientQuotasRequest {
			return quota("producer_byte_rate", 1, false, "ip", "10.1.2.3")
		},
		"bad_ip": func(*diff.T) *kmsg.AlterClientQuotasRequest {
			return quota("connection_creation_rate", 1, false, "ip", "not an address!")
		},
		"fraction": func(t *diff.T) *kmsg.AlterClientQuotasRequest {
			return quota("producer_byte_rate", 1.5, false, "user", t.Name("u"))
		},
		"negative": func(t *diff.T) *kmsg.AlterClientQuotasRequest {
			return quota("producer_byte_rate", -1, false, "user", t.Name("u"))
		},
	} {
		l.Add("QUOTA/refused/"+name, "QUOTA-01", func(t *diff.T) {
			r := req(t)
			r.ValidateOnly = true
			diff.Do(t.Dial(), "alter", 1, r)
		})
	}
	l.Add("QUOTA/describe_errors", "QUOTA-11", func(t *diff.T) {
		diff.Do(t.Dial(), "unknown type", 1, describeQuotas(false, "planet", "mars"))
		diff.Do(t.Dial(), "type twice", 1, describeQuotas(false, "user", t.Name("a"), "user", t.Name("b")))
		diff.Do(t.Dial(), "ip and user", 1, describeQuotas(false, "user", t.Name("a"), "ip", "10.1.2.3"))
	})
}

package meter

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"
)

func custom(name string, content ...[]byte) []byte {
	return section(customSection, sized([]byte(name)), concat(content...))
}

func imported(module, name string, kind byte, of ...byte) []byte {
	return concat(sized([]byte(module)), sized([]byte(name)), []byte{kind}, of)
}

// names makes names of functions and of the locals of the last of them.
func names(first byte, list ...string) []byte {
	var functions [][]byte
	for i, n := range list {
		functions = append(functions, append([]byte{first + byte(i)}, sized([]byte(n))...))
	}
	locals := vec(concat([]byte{first + byte(len(list)) - 1}, vec(append([]byte{0}, sized([]byte("which"))...))))
	return custom("name", section(0, sized([]byte("all"))), section(1, vec(functions...)), section(2, locals), section(9, vec()))
}

// everything returns modules that have what a module may have.
func everything() map[string][]byte {
	zero := []byte{i32Const, 0, end}
	ref := func(f byte) []byte { return []byte{0xd2, f, end} }
	rich := program{
		types: [][]byte{signature("", "\x7f"), signature("", ""), signature("\x7f", "\x7f")},
		imports: [][]byte{imported("spectest", "print", function, 1), imported("spectest", "global_i32", global, i32, 0),
			imported("spectest", "table", table, 0x70, 1, 10, 20), imported("spectest", "memory", memory, 1, 1, 2)},
		tables:  [][]byte{{0x70, 0, 30}, {0x6f, 1, 0, 1}},
		globals: [][]byte{concat([]byte{0x70, 0}, ref(2)), {i32, 1, globalGet, 0, end}, {0x7b, 0, 0xfd, 0x0c, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, end}},
		exports: [][]byte{export("run", function, 5), export("print", function, 0), export("global", global, 2), export("boom", function, 7)},
		start:   []byte{6},
		elements: [][]byte{
			concat([]byte{0}, zero, vec([]byte{1}, []byte{2})),                                         // 0 1 of the imported table
			concat([]byte{1, 0}, vec([]byte{3})),                                                       // passive
			concat([]byte{2, 1}, zero, []byte{0}, vec([]byte{4}, []byte{3})),                           // 0 1 of the table
			concat([]byte{3, 0}, vec([]byte{1})),                                                       // declared
			concat([]byte{4, i32Const, 2, end}, vec(ref(3), []byte{0xd0, 0x70, end})),                  // 2 3 of the imported table
			concat([]byte{5, 0x70}, vec(ref(4))),                                                       // passive
			concat([]byte{6, 1, i32Const, 2, end, 0x70}, vec(ref(2), []byte{0xd0, 0x70, end}, ref(1))), // 2 to 4 of the table
			concat([]byte{7, 0x70}, vec(ref(4), ref(1))),                                               // declared
			concat([]byte{1, 0}, vec()),                                                                // passive, empty
		},
		data: [][]byte{concat([]byte{0}, zero, sized([]byte{9})), concat([]byte{1}, sized([]byte{8})), concat([]byte{2, 0, i32Const, 3, end}, sized([]byte{7}))},
		funcs: []fn{
			{code: []byte{i32Const, 11}}, {code: []byte{i32Const, 12}}, {code: []byte{i32Const, 13}}, {code: []byte{i32Const, 14}},
			{sig: 2, code: []byte{localGet, 0, i32Const, 20, i32LtS, ifElse, i32, localGet, 0, callIndirect, 0, 0, elseOp,
				localGet, 0, i32Const, 20, i32Sub, callIndirect, 0, 1, end, globalGet, 2, i32Add}},
			{sig: 1, code: concat([]byte{call, 0},
				[]byte{i32Const, 4, i32Const, 0, i32Const, 1, 0xfc, 0x0c, 1, 0}, // 4 of the imported table
				[]byte{i32Const, 5, i32Const, 0, i32Const, 1, 0xfc, 0x0c, 5, 0}, // 5
				[]byte{i32Const, 6, globalGet, 1, 0x26, 0},                      // 6
				[]byte{i32Const, 7, 0xd2, 4, 0x26, 0},                           // 7
				[]byte{i32Const, 0, 0x2d, 0, 3, globalSet, 2})},                 // 7 is added to every result
			{sig: 1, code: []byte{i32Const, 0, i32Const, 0, 0x6d, drop}}, // division by zero
		},
	}
	rich.custom = concat(names(0, "print", "a", "b", "c", "d", "which one", "begin", "divide"), custom("mine", []byte("kept")), custom(".debug_info", []byte("gone")), custom("metadata.code.branch_hint", []byte("gone")))
	return map[string][]byte{"rich": rich.bytes(), "empty": header, "data count": concat(header, section(dataCountSection, []byte{0})),
		"names first": concat(header, custom("name", section(1, vec([]byte{0, 1, 'f'}))), program{types: [][]byte{signature("", "")}, funcs: []fn{{}}}.bytes()[8:])}
}

// TestEverything runs a module with all kinds of segments, imports and initialisers.
func TestEverything(t *testing.T) {
	module := everything()["rich"]
	worlds := []*world{newWorld(t, api.CoreFeaturesV2, spec(t, "v2", "testdata", "call.json")[0], false), newWorld(t, api.CoreFeaturesV2, spec(t, "v2", "testdata", "call.json")[0], true)}
	var before string
	for i, w := range worlds {
		if w.metered {
			module = rewrite(t, module)
		}
		m, err := w.runtime.Instantiate(context.Background(), module)
		if err != nil {
			t.Fatal(err)
		}
		for at, want := range map[uint64]uint64{0: 11, 1: 12, 2: 13, 3: 0, 4: 13, 5: 14, 6: 12, 7: 14, 8: 0, 20: 14, 21: 13, 22: 12, 23: 0, 24: 11, 25: 0} {
			out, err := m.ExportedFunction("run").Call(context.Background(), at)
			if want == 0 != (err != nil) || err == nil && out[0] != want+7 {
				t.Errorf("world %d, element %d: %v %v, want %d", i, at, out, err, want+7)
			}
		}
		_, err = m.ExportedFunction("boom").Call(context.Background())
		if err == nil || !strings.Contains(err.Error(), "all.divide()") || i > 0 && err.Error() != before {
			t.Errorf("%v, before %v", err, before)
		} else {
			before = err.Error()
		}
	}
	for what, n := range map[string]int{"kept": 1, "gone": 0, "which one": 1, "divide": 1} {
		if got := bytes.Count(module, []byte(what)); got != n {
			t.Errorf("%q is there %d times, want %d", what, got, n)
		}
	}
	if !bytes.Contains(module, append([]byte{8}, sized([]byte("divide"))...)) || !bytes.Contains(module, append([]byte{1, 8, 1, 0}, sized([]byte("which"))...)) {
		t.Error("the names of functions and of locals did not move")
	}
}

// TestSmallest writes what the counter needs into a module that has nothing.
func TestSmallest(t *testing.T) {
	for name, module := range everything() {
		out := rewrite(t, module)
		if err := sameVerdict(engine(t, api.CoreFeaturesV2, func() {}), module); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := concat(header, section(typeSection, vec(signature("", ""), signature("\x7f", "\x7f"))),
			section(importSection, vec(imported(Module, Yield, function, 0))), section(globalSection, vec(concat([]byte{i32, 1}, constI32(Every), []byte{end}))))
		if name == "empty" && !bytes.Equal(out, want) {
			t.Errorf("%x, want %x", out, want)
		}
	}
}

// TestRefused lists what cannot be walked, with what the error says.
func TestRefused(t *testing.T) {
	code := func(code ...byte) []byte {
		return program{types: [][]byte{signature("", "")}, globals: [][]byte{{i32, 1, i32Const, 0, end}}, funcs: []fn{{code: code}}}.bytes()
	}
	sections := func(s ...[]byte) []byte { return concat(header, concat(s...)) }
	types := section(typeSection, vec(signature("", "")))
	for name, c := range map[string]struct {
		module []byte
		want   string
	}{
		"try":                        {code(0x06, 0x40, end), "offset 0x1f: opcode 0x6 (exception handling) is not supported"},
		"throw":                      {code(0x08, 0), "exception handling"},
		"try_table":                  {code(0x1f, 0x40, 0, end), "exception handling"},
		"return_call":                {code(0x12, 0), "tail calls"},
		"return_call_indirect":       {code(0x13, 0, 0), "tail calls"},
		"call_ref":                   {code(0x14, 0), "typed function references"},
		"br_on_null":                 {code(0xd5, 0), "typed function references"},
		"struct.new":                 {code(0xfb, 0, 0), "garbage collection"},
		"atomic.fence":               {code(0xfe, 3, 0), "threads"},
		"relaxed vectors":            {code(0xfd, 0x80, 2), "opcode 0xfd 0x100 is not supported"},
		"a vector opcode given up":   {code(0xfd, 0x9a, 1), "opcode 0xfd 0x9a is not supported"},
		"the first unknown of misc":  {code(0xfc, 18), "opcode 0xfc 0x12 is not supported"},
		"an unknown opcode":          {code(0x27), "offset 0x1f: opcode 0x27 is not supported"},
		"a second memory":            {code(i32Const, 0, i32Load, 0x42, 1, 0, drop), "memory argument 0x42"},
		"the size of another memory": {code(0x3f, 1, drop), "memory 0x1 is not supported"},
		"type of a block":            {code(block, 0x64, 0, end), "type 0x64 is not supported"},
		"index of a block's type":    {code(block, 9, end), "there is no type 9"},
		"too large a table":          {[]byte("\x00asm\x01\x00\x00\x00\x04\x07\x01\x70\x00\x81\x80\xc0\x00"), "a table of 1048577 elements, at most 1048576 are supported"},
		"too many tables":            {append([]byte("\x00asm\x01\x00\x00\x00\x04\x34\x11"), bytes.Repeat([]byte{0x70, 0, 0}, 17)...), "17 tables, at most 16 are supported"},
		"no such function":           {code(call, 1), "offset 0x20: there is no function 1"},
		"no such global":             {code(globalGet, 1, drop), "there is no global 1"},
		"no such type":               {code(i32Const, 0, callIndirect, 1, 0), "there is no type 1"},
		"code behind the end":        {code(end), "1 bytes too many"},
		"code without an end":        {code(block, 0x40), "unexpected end"},
		"a long number":              {code(i32Const, 0xff, 0xff, 0xff, 0xff, 0x4f, drop), "more than 32 bits"},
		"a longer number":            {code(i32Const, 0x80, 0x80, 0x80, 0x80, 0x80, 0, drop), "more than 32 bits"},
		"a long index":               {code(br, 0xff, 0xff, 0xff, 0xff, 0x1f), "more than 32 bits"},
		"a long block type":          {code(block, 0x80, 0x80, 0x80, 0x80, 0x20, end), "more than 33 bits"},
		"a long long number":         {code(i64Const, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02), "more than 64 bits"},
		"many branches":              {code(brTable, 0xff, 0xff, 0xff, 0xff, 0x0f), "4294967295 elements in"},
		"not a module":               {[]byte("\x00asm\x0d\x00\x01\x00"), "not a WASM module"},
		"nothing":                    {nil, "not a WASM module"},
		"tags":                       {sections(section(13, vec())), "section 13 is unknown or in the wrong place"},
		"order":                      {sections(section(importSection, vec()), types), "section 1 is unknown or in the wrong place"},
		"twice":                      {sections(types, types), "offset 0xe: section 1 is unknown or in the wrong place"},
		"names twice":                {sections(custom("name"), custom("name")), "a second section of names"},
		"a name of bytes":            {sections(custom("\xff")), "a name that is not UTF-8"},
		"names cut off":              {sections(custom("name", []byte{1, 1, 5})), "5 elements in 0 bytes"},
		"structures":                 {sections(section(typeSection, vec([]byte{0x5f, 0}))), "type of kind 0x5f is not supported"},
		"imported tag":               {sections(types, section(importSection, vec([]byte{0, 0, 4, 0, 0}))), "import of kind 4 is not supported"},
		"shared memory":              {sections(section(memorySection, vec([]byte{3, 1, 1}))), "limits of kind 0x3 are not supported"},
		"memory of 64 bits":          {sections(section(memorySection, vec([]byte{4, 1}))), "limits of kind 0x4 are not supported"},
		"typed table":                {sections(section(tableSection, vec([]byte{0x64, 0, 0, 1}))), "reference type 0x64 is not supported"},
		"global of which kind":       {sections(section(globalSection, vec([]byte{i32, 2, i32Const, 0, end}))), "mutability 0x2 is not supported"},
		"calling initialiser":        {sections(types, section(globalSection, vec([]byte{i32, 0, 0x3f, 0, end}))), "opcode 0x3f in a constant expression"},
		"exported tag":               {sections(section(exportSection, vec([]byte{0, 4, 0}))), "export of kind 4 is not supported"},
		"exported hook":              {sections(section(exportSection, vec([]byte{0, function, 0}))), "there is no function 0"},
		"exported counter":           {sections(section(exportSection, vec([]byte{0, global, 0}))), "there is no global 0"},
		"starting hook":              {sections(section(startSection, []byte{0})), "there is no function 0"},
		"element kind":               {sections(section(elementSection, vec([]byte{1, 1, 0}))), "element kind 0x1 is not supported"},
		"element segment":            {sections(section(elementSection, vec([]byte{8}))), "element segment of kind 8 is not supported"},
		"data segment":               {sections(section(dataSection, vec([]byte{3}))), "data segment of kind 3 is not supported"},
		"data of another memory":     {sections(section(dataSection, vec([]byte{2, 1, i32Const, 0, end, 0}))), "memory 1 is not supported"},
		"more code than functions":   {sections(types, section(codeSection, vec([]byte{2, 0, end}))), "code of 1 functions, of which there are 0"},
		"a long section":             {sections([]byte{typeSection, 100, 0}), "100 elements in 1 bytes"},
		"the rest of a section":      {sections(section(memorySection, vec(), []byte{0})), "1 bytes too many"},
	} {
		out, err := Rewrite(c.module)
		if err == nil || !strings.Contains(err.Error(), c.want) || out != nil {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// TestBrokenModules cuts a module off everywhere and changes every byte: nothing panics, and every
// verdict is that of the runtime.
func TestBrokenModules(t *testing.T) {
	module := everything()["rich"]
	r := engine(t, api.CoreFeaturesV2, func() {})
	for i := range module {
		if _, err := Rewrite(module[:i:i]); err == nil && sameVerdict(r, module[:i:i]) != nil {
			t.Errorf("cut off at %d", i)
		}
		for _, b := range []byte{0, 0x7f, 0x80} {
			broken := bytes.Clone(module)
			broken[i] = b
			if err := sameVerdict(r, broken); err != nil && !errors.Is(err, errRefused) {
				t.Errorf("byte %d is %#x: %v", i, b, err)
			}
		}
	}
}

// TestProposalsAreRefused offers modules of the proposals that are not supported.
func TestProposalsAreRefused(t *testing.T) {
	r := engine(t, api.CoreFeaturesV2, func() {})
	for dir, want := range map[string]int{"tail-call": 5, "exception-handling": 5, "threads": 5, "typed-function-references": 20} {
		refused := 0
		for _, file := range spec(t, dir, "testdata", "*.json") {
			for _, c := range readScript(t, file).Commands {
				if c.Type != "module" {
					continue
				}
				module, err := os.ReadFile(filepath.Join(filepath.Dir(file), c.Filename))
				if err != nil {
					t.Fatal(err)
				}
				if err := sameVerdict(r, module); errors.Is(err, errRefused) {
					refused++
				} else if err != nil {
					t.Errorf("%s: %v", c.Filename, err)
				}
			}
		}
		t.Logf("%s: %d modules", dir, refused)
		if refused < want {
			t.Errorf("%s: only %d modules were refused", dir, refused)
		}
	}
}

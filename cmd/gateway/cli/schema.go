package cli

import (
	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/configs"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
)

func schemaCommand(specs []plugin.Spec) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the YAML file, for editors",
		Long: `Print the JSON Schema of the YAML file, for editors and checks without the gateway. It knows keys,
types, forms and defaults; what belongs together, and what exists, validate knows alone.`,
		Args: exactArgs(0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := Schema(specs)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(b)
			return err
		},
	}
}

// Schema is the JSON Schema of the file of a gateway with these types of interceptors.
func Schema(specs []plugin.Spec) ([]byte, error) {
	sections := map[string]any{}
	for _, s := range specs {
		sections[s.Type] = s.Settings
	}
	return config.Schema(sections, configs.Reference)
}

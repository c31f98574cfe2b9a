using System.Text;

namespace Paravane.Peers;

/// <summary>Debian's stock cloud kernel: installed, or unpacked into artifacts/ by <c>make deps</c>.</summary>
public sealed record GuestKernel(string Image, string Modules)
{
    /// <summary>The newest that is there.</summary>
    public static GuestKernel Find()
    {
        foreach (string root in (string[])[Path.Combine(Programs.RepositoryRoot, "artifacts", "guest-kernel"), "/"])
        {
            string boot = Path.Combine(root, "boot");
            string[] images = Directory.Exists(boot) ? Directory.GetFiles(boot, "vmlinuz-*-cloud-amd64") : [];
            foreach (string image in images.OrderDescending())
            {
                string modules = Path.Combine(root, "lib/modules", Path.GetFileName(image)["vmlinuz-".Length..], "kernel");
                if (Directory.Exists(modules))
                {
                    return new GuestKernel(image, modules);
                }
            }
        }

        throw new FileNotFoundException("Debian's cloud kernel is neither installed nor unpacked: run `make deps`");
    }

    /// <summary>Files of the named modules and of all that they need, in the order in which to load them; what is built in is left out.</summary>
    public IReadOnlyList<string> Resolve(params string[] names)
    {
        Dictionary<string, string> files = Directory.EnumerateFiles(Modules, "*.ko", SearchOption.AllDirectories)
            .ToDictionary(file => Path.GetFileNameWithoutExtension(file).Replace('-', '_'));
        List<string> order = [];
        foreach (string name in names)
        {
            Visit(name);
        }

        return order;

        void Visit(string name)
        {
            if (files.TryGetValue(name, out string? file) && !order.Contains(file))
            {
                foreach (string needed in Needs(file))
                {
                    Visit(needed.Replace('-', '_'));
                }

                order.Add(file);
            }
        }
    }

    /// <summary>The <c>depends=</c> entry of the module's .modinfo section (modules.dep exists only where depmod has run).</summary>
    private static string[] Needs(string file)
    {
        ReadOnlySpan<byte> content = File.ReadAllBytes(file);
        int start = content.IndexOf("\0depends="u8);
        if (start < 0)
        {
            throw new PeerException($"{file} has no module information");
        }

        ReadOnlySpan<byte> value = content[(start + "\0depends=".Length)..];
        return Encoding.ASCII.GetString(value[..value.IndexOf((byte)0)]).Split(',', StringSplitOptions.RemoveEmptyEntries);
    }
}

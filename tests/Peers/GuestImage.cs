using System.Reflection;
using System.Security.Cryptography;
using System.Text;

namespace Paravane.Peers;

/// <summary>
/// A guest's initramfs: a static busybox, modules of the stock kernel, and a few of the machine's own programs with their libraries.
/// </summary>
/// <remarks>Kept in artifacts/ under a name made from what goes into it. Not compressed: unpacking costs an emulated CPU more than loading.</remarks>
public static class GuestImage
{
    private static readonly string[] s_modules = ["virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng", "button", "evdev"];
    private static readonly string[] s_tools = ["mke2fs", "e2fsck", "blkdiscard", "ethtool"];

    private static readonly Lazy<string> s_path = new(() => Build(s_modules, [.. s_tools.Select(Tool.Find)], [], []));

    /// <summary>The archive of a guest with virtio's drivers; the first to ask builds it.</summary>
    public static string Location => s_path.Value;

    /// <summary>The archive of a guest with more in it, built where it is not there yet.</summary>
    /// <param name="modules">Modules to load at its start, besides those of <see cref="Location"/>.</param>
    /// <param name="programs">Programs for its /tools, with the libraries that they need.</param>
    /// <param name="libraries">Libraries that programs load by themselves, at the path that they have here, with those that they need.</param>
    /// <param name="files">More files: path in the guest → file here.</param>
    public static string With(string[] modules, string[] programs, string[] libraries, Dictionary<string, string> files) =>
        Build([.. s_modules, .. modules], [.. s_tools.Select(Tool.Find), .. programs], libraries, files);

    private static string Build(string[] modules, string[] programs, string[] libraries, Dictionary<string, string> files)
    {
        Dictionary<string, string> sources = new(files);   // path in the guest → file here
        List<string> order = [];
        foreach (string module in GuestKernel.Find().Resolve(modules))
        {
            sources[$"modules/{Path.GetFileName(module)}"] = module;
            order.Add($"/modules/{Path.GetFileName(module)}");
        }

        sources["bin/busybox"] = Tool.Find("busybox");
        foreach (string program in programs)
        {
            sources[$"tools/{Path.GetFileName(program)}"] = program;
            AddLibrariesOf(program);
        }

        foreach (string library in libraries)
        {
            sources[library.TrimStart('/')] = library;
            AddLibrariesOf(library);
        }

        using Stream init = Assembly.GetExecutingAssembly().GetManifestResourceStream("init.sh")!;
        byte[] script = new byte[init.Length];
        init.ReadExactly(script);

        string target = Path.Combine(Programs.RepositoryRoot, "artifacts", "guest", $"initramfs-{Fingerprint(sources, script)}.cpio");
        if (!File.Exists(target))
        {
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            string draft = $"{target}.{Environment.ProcessId}";
            Write(draft, sources, script, order);
            File.Move(draft, target, overwrite: true);
            RemoveOld(Path.GetDirectoryName(target)!);
        }

        return target;

        void AddLibrariesOf(string program)
        {
            foreach (string library in LibrariesOf(program))
            {
                sources[library.TrimStart('/')] = library;
            }
        }
    }

    /// <summary>Each build of a program that goes into an archive makes another one: those of former days are nobody's any more.</summary>
    private static void RemoveOld(string directory)
    {
        foreach (FileInfo file in new DirectoryInfo(directory).EnumerateFiles())
        {
            if (DateTime.UtcNow - file.LastWriteTimeUtc > TimeSpan.FromDays(1))
            {
                file.Delete();
            }
        }
    }

    private static void Write(string path, Dictionary<string, string> sources, byte[] init, List<string> order)
    {
        using FileStream stream = File.Create(path);
        using CpioWriter archive = new(stream);
        foreach (string directory in (string[])["dev", "proc", "sys", "tmp", "mnt", "etc"])
        {
            archive.AddDirectory(directory);
        }

        archive.AddFile("init", init);
        archive.AddFile("modules/order", Encoding.ASCII.GetBytes(string.Join('\n', order) + "\n"));
        foreach ((string name, string source) in sources)
        {
            archive.AddFile(name, File.ReadAllBytes(source));
        }
    }

    private static string Fingerprint(Dictionary<string, string> sources, byte[] init)
    {
        StringBuilder text = new();
        foreach ((string name, string source) in sources)
        {
            FileInfo file = new(source);
            text.Append($"{name} {source} {file.Length} {file.LastWriteTimeUtc.Ticks}\n");
        }

        byte[] digest = SHA256.HashData([.. Encoding.UTF8.GetBytes(text.ToString()), .. init]);
        return Convert.ToHexStringLower(digest.AsSpan(0, 8));
    }

    private static IEnumerable<string> LibrariesOf(string program)
    {
        (int code, string listing, string transcript) = ChildProcess.Run("ldd", [program], TimeSpan.FromSeconds(10));
        if (code != 0)
        {
            throw new PeerException(transcript);
        }

        foreach (string line in listing.Split('\n'))
        {
            string? path = line.Split(' ', '\t').FirstOrDefault(word => word.StartsWith('/'));
            if (path is not null)
            {
                yield return path;
            }
        }
    }
}

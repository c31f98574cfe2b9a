namespace Paravane.Hypervisor.Tests.Workers;

/// <summary>The real back-ends: those that <c>make build</c> has put into bin/, else what a build of their projects has left.</summary>
internal static class BackEndPrograms
{
    public static string Block => Find("paravane-blk", "Block");

    public static string Net => Find("paravane-net", "Net");

    /// <summary>Compiled ahead of time, as users have them, so that their speed says something.</summary>
    public static bool ArePublished => !File.Exists($"{Block}.dll");

    private static string Find(string name, string project)
    {
        DirectoryInfo? root = new(AppContext.BaseDirectory);
        while (root is not null && !File.Exists(Path.Combine(root.FullName, "Paravane.slnx")))
        {
            root = root.Parent;
        }

        Assert.NotNull(root);
        string[] places = [Path.Combine(root.FullName, "bin", name), Path.Combine(root.FullName, "artifacts", "bin", project, "debug_linux-x64", name)];
        string? path = Array.Find(places, File.Exists);
        Assert.True(path is not null, $"{name} is missing: run `make build`");
        return path;
    }
}

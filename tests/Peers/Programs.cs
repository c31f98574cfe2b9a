namespace Paravane.Peers;

/// <summary>Where this repository's own programs are.</summary>
public static class Programs
{
    /// <summary>The root of the repository that this assembly was built from.</summary>
    public static string RepositoryRoot { get; } = FindRoot();

    /// <summary><c>paravane-blk</c>.</summary>
    public static string Block => Path.Combine(RepositoryRoot, "bin", "paravane-blk");

    /// <summary><c>paravane-net</c>.</summary>
    public static string Net => Path.Combine(RepositoryRoot, "bin", "paravane-net");

    /// <summary><c>paravane</c>.</summary>
    public static string Paravane => Path.Combine(RepositoryRoot, "bin", "paravane");

    private static string FindRoot()
    {
        for (DirectoryInfo? directory = new(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Paravane.slnx")))
                return directory.FullName;
        }

        throw new PeerException($"{AppContext.BaseDirectory} is not below a directory with Paravane.slnx");
    }
}

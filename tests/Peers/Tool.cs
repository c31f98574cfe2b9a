namespace Paravane.Peers;

/// <summary>Finds programs of the system, also those in the directories that only root has on its PATH.</summary>
public static class Tool
{
    private static readonly string[] s_directories =
        [.. (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':'), "/usr/sbin", "/sbin", "/usr/bin", "/bin"];

    /// <summary>Absolute path of a program.</summary>
    public static string Find(string name)
    {
        if (name.Contains('/', StringComparison.Ordinal))
        {
            return name;
        }

        return s_directories.Select(directory => Path.Combine(directory, name)).FirstOrDefault(File.Exists)
            ?? throw new FileNotFoundException($"{name} is not installed: run `make deps`");
    }
}

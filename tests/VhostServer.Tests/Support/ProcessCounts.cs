namespace Paravane.VhostServer.Tests.Support;

/// <summary>What this process holds: it must be the same after an attack as before.</summary>
internal static class ProcessCounts
{
    /// <summary>Open descriptors, but for the files of assemblies, which the runtime loads when it needs them.</summary>
    public static int Descriptors => Directory.GetFileSystemEntries("/proc/self/fd")
        .Count(link => new FileInfo(link).LinkTarget is { } target && !target.EndsWith(".dll", StringComparison.Ordinal));

    /// <summary>Mappings of memfds whose name begins with <paramref name="name"/>.</summary>
    public static int MappingsOf(string name) => File.ReadLines("/proc/self/maps").Count(line => line.Contains($"/memfd:{name}", StringComparison.Ordinal));
}
